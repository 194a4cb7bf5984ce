"""Packed folders: what is in them, and what plain WebDataset reads of them."""

import hashlib

SMALL = 0.03  # MB: two of the clips of helpers.videos in one shard


def contents(folder):
    """Return name -> hash of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def samples(*shards, **settings):
    """Return what plain WebDataset reads, in its order."""
    import webdataset as wds

    return list(wds.WebDataset([str(shard) for shard in shards], shardshuffle=False, empty_check=False, **settings))
