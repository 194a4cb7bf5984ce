"""Pseudo-labels: what a teacher says of each video of a list, in shards, and which of them a student learns from."""
