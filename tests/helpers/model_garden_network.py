"""The Model Garden's own 3D ResNets, with random weights. Imported in processes of their own: it needs TensorFlow.

In float64, because there a difference is a difference; what TensorFlow has no float64 for is replaced by its equal.
"""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

# Packages whose __init__ imports all of the Model Garden, with far more dependencies than the video networks have.
HOLLOW = ("official.core", "official.vision", "official.vision.modeling")
HOLLOW += ("official.vision.modeling.backbones", "official.vision.modeling.layers", "official.vision.ops")


def hollow_packages():
    """Makes the packages importable without running their ``__init__``."""
    root = Path(importlib.util.find_spec("official").submodule_search_locations[0])
    for name in HOLLOW:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


class MaxPool3D(tf_keras.layers.Layer):
    """TensorFlow has no 3D max-pool in float64: two of its 2D ones, first in space, then in time."""

    def __init__(self, pool_size, strides, padding="valid"):
        super().__init__()
        self.pool_size, self.strides, self.padding = pool_size, strides, padding.upper()

    def call(self, x):
        n, t, h, w, c = (tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape))
        x = tf.reshape(x, [n * t, h, w, c])
        x = tf.nn.max_pool2d(x, self.pool_size[1:], self.strides[1:], self.padding)
        h, w = tf.shape(x)[1], tf.shape(x)[2]
        x = tf.reshape(x, [n, t, h * w, c])
        x = tf.nn.max_pool2d(x, [self.pool_size[0], 1], [self.strides[0], 1], self.padding)
        return tf.reshape(x, [n, tf.shape(x)[1], h, w, c])


def build(backbone, classes, dropout_rate=0.5, regularizer=None):
    """The classifier as ``build_resnet3d_rs`` and ``build_video_classification_model`` make it, for any size."""
    from official.vision.modeling import video_classification_model
    from official.vision.modeling.backbones import resnet_3d

    specs = tf_keras.layers.InputSpec(shape=[None, None, None, None, 3])
    backbone = resnet_3d.ResNet3D(
        input_specs=specs, norm_momentum=0.0, norm_epsilon=1e-5, kernel_regularizer=regularizer, **backbone
    )
    return video_classification_model.VideoClassificationModel(
        backbone=backbone,
        num_classes=classes,
        input_specs={"image": specs},
        dropout_rate=dropout_rate,
        kernel_regularizer=regularizer,
    )


def randomize(model, last_gamma):
    """Random weights and statistics, all away from 0 and 1; ``last_gamma`` scales that of each block's last norm."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        noise = rng.random(variable.shape)
        name = variable.name.split("/")[-1].split(":")[0]
        if name in ("gamma", "moving_variance"):
            variable.assign(0.5 + noise)
        elif name == "kernel":
            variable.assign((noise - 0.5) * 4 / np.prod(variable.shape[:-1]) ** 0.5)
        else:
            variable.assign(noise - 0.5)
    for layer in model.backbone.layers:
        if hasattr(layer, "_norm3"):
            layer._norm3.gamma.assign(layer._norm3.gamma * last_gamma)
