"""``video-rs list``: one command for each source of lists; ``datasets/`` has a script for each."""
