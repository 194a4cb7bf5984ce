"""Weights of other sources: image networks, TensorFlow's Model Garden, files."""
