"""Model Garden's own networks: ``python tests/model_garden_logits.py PLAN.json FOLDER``, in a process of its own.

Builds one of tf-models-official's 3D ResNets in float64 with random weights and statistics, saves them as its trainer
does, ``FOLDER/ckpt-1``, and the logits of random clips of every size of the plan as ``FOLDER/logits.npz``.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from helpers.model_garden_network import MaxPool3D, build, hollow_packages, randomize


def main():
    plan, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    hollow_packages()
    tf_keras.backend.set_floatx("float64")
    tf_keras.layers.MaxPool3D = MaxPool3D
    model = build(plan["backbone"], plan["classes"])
    randomize(model, plan["last_gamma"])
    items = model.checkpoint_items if plan["prefix"] == "backbone/" else {}
    tf.train.Checkpoint(model=model, global_step=tf.Variable(7, dtype=tf.int64), **items).save(folder / "ckpt")
    rng = np.random.default_rng(1)
    arrays = {}
    for size in plan["sizes"]:
        clips = rng.random((2, *size, 3))
        name = "x".join(map(str, size))
        arrays |= {f"clips {name}": clips, f"logits {name}": model({"image": clips}, training=False).numpy()}
    np.savez(folder / "logits.npz", **arrays)


if __name__ == "__main__":
    main()
