"""Preparing videos for training: each file of a list encoded again, small, and quick to read from anywhere inside."""
