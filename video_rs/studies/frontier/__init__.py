"""Accuracy against the cost of a whole video: published networks, and one's own runs."""
