"""Whole jobs over the builders: train a run, test a checkpoint. ``tools/`` only parses arguments for them."""
