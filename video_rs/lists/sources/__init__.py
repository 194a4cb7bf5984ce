"""Public data sets, and folders of one's own, as list files: official lists matched with the files that are there.

Nothing here opens a video or runs on import; ``datasets/`` holds the commands.
"""
