"""``video-rs benchmark``: one command for each kind of measurement."""
