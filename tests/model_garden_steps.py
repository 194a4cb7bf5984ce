"""Model Garden's own training: ``python tests/model_garden_steps.py PLAN.json FOLDER``, in a process of its own.

tf-models-official's optimizer factory trains its 3D ResNet-RS on ``FOLDER/clips.npz``. What its trainer would save
before the first step and after each one, weights, statistics, momenta and averages, lies in ``FOLDER/0.npz``,
``1.npz`` ... under the keys of its checkpoints, with the loss and the learning rate of that step; in ``0.npz`` lies
the loss of the given logits.

Loss and loop are those of its ``VideoClassificationTask`` and trainer, which would import tensorflow_datasets.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from helpers.model_garden_network import MaxPool3D, build, hollow_packages, randomize


class BatchNormalization(tf_keras.layers.BatchNormalization):
    """TensorFlow's fused kernel, the published one, has no float64; this adds the Bessel's correction that Keras'
    other path leaves out of the moving variance. Training normalizes without it on both paths."""

    def call(self, inputs, training=None):
        self.cells = tf.cast(tf.size(inputs) / inputs.shape[-1], inputs.dtype)
        return super().call(inputs, training=training)

    def _assign_moving_average(self, variable, value, momentum, inputs_size):
        if variable is self.moving_variance:
            value *= self.cells / (self.cells - 1)
        return super()._assign_moving_average(variable, value, momentum, inputs_size)


def compute_in_float64():
    """Replaces what has no float64: two kernels, and the float32 that optimizer, schedule and average cast to."""
    tf_keras.backend.set_floatx("float64")
    tf_keras.layers.MaxPool3D = MaxPool3D
    tf_keras.layers.BatchNormalization = BatchNormalization
    # The numbers themselves too: 0.9 is another number in float32.
    for module in (tf, tf.compat.v2):
        module.float32 = tf.float64


def make_optimizer(recipe):
    """The published config: ``add_trainer`` of ``configs/video_classification.py`` and k400_resnet3drs_50_tpu.yaml."""
    from official.modeling import optimization

    rate = recipe["base_lr"]
    config = optimization.OptimizationConfig(
        {
            "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9, "nesterov": True}},
            "learning_rate": {
                "type": "cosine",
                "cosine": {"initial_learning_rate": rate, "decay_steps": recipe["total_steps"]},
            },
            "warmup": {
                "type": "linear",
                "linear": {"warmup_steps": recipe["warmup_steps"], "warmup_learning_rate": 0},
            },
            "ema": {"average_decay": 0.9999, "trainable_weights_only": False},
        }
    )
    if tf_keras.backend.floatx() == "float64":
        # TensorFlow makes a float32 of Python's numbers, and a float64 of NumPy's.
        config.optimizer.sgd.momentum = np.float64(0.9)
        config.learning_rate.cosine.initial_learning_rate = np.float64(rate)
        config.ema.average_decay = np.float64(0.9999)
    factory = optimization.OptimizerFactory(config)
    return factory.build_optimizer(factory.build_learning_rate())


@tf.function
def class_loss(logits, labels, label_smoothing):
    """As ``VideoClassificationTask.train_step`` calls ``build_losses``, in a graph: Keras recovers the logits there,
    and clips no probabilities."""
    outputs = tf.math.softmax(tf.cast(logits, tf.float32))
    losses = tf_keras.losses.categorical_crossentropy(
        labels, outputs, from_logits=False, label_smoothing=label_smoothing
    )
    return tf.reduce_mean(losses)


def make_step(model, optimizer, label_smoothing):
    """``VideoClassificationTask.train_step`` on one replica, compiled as the trainer does."""

    @tf.function
    def step(clips, labels):
        with tf.GradientTape() as tape:
            loss = class_loss(model({"image": clips}, training=True), labels, label_smoothing)
            total = loss + tf.add_n(model.losses)
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(list(zip(gradients, model.trainable_variables, strict=True)))
        return loss

    return step


def main():
    plan, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    hollow_packages()
    if plan["precision"] == "float64":
        compute_in_float64()
    from official.vision.modeling.backbones import resnet_3d

    blocks = zip(resnet_3d.RESNET_SPECS[50], plan["depths"], strict=True)
    resnet_3d.RESNET_SPECS[50] = [(kind, width, depth) for (kind, width, _), depth in blocks]
    # tf_keras.regularizers.l2(w) is w * |x|^2: the task halves its weight decay.
    model = build(plan["backbone"], plan["classes"], 0.0, tf_keras.regularizers.l2(plan["weight_decay"] / 2))
    # As in the comparison of the deep networks: random weights make the reference ill-conditioned unless that is small.
    randomize(model, 0.2)
    optimizer = make_optimizer(plan)
    optimizer.shadow_copy(model)
    step = make_step(model, optimizer, plan["label_smoothing"])
    items = tf.train.Checkpoint(model=model, optimizer=optimizer, **model.checkpoint_items)

    def save(**numbers):
        path = items.write(folder / "ckpt")
        reader = tf.train.load_checkpoint(path)
        keys = [key for key in reader.get_variable_to_shape_map() if key != "_CHECKPOINTABLE_OBJECT_GRAPH"]
        np.savez(folder / f"{optimizer.iterations.numpy()}.npz", **{k: reader.get_tensor(k) for k in keys}, **numbers)

    batches = np.load(folder / "clips.npz")
    one_hot = tf.one_hot(batches["labels"], plan["classes"], dtype=tf.float32)
    save(loss=class_loss(batches["logits"], one_hot[0], plan["label_smoothing"]).numpy())
    for clips, labels in zip(batches["clips"], one_hot, strict=True):
        clips = clips.astype(np.float32) / np.float32(255)
        rate = optimizer.learning_rate(optimizer.iterations).numpy()
        save(loss=step(tf.cast(clips, tf.float32), labels).numpy(), rate=rate)


if __name__ == "__main__":
    main()
