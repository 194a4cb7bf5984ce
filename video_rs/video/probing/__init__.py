"""What there is to know of a file before training.

``probe`` reads a file as training would and gives its facts, ``fingerprint`` tells files of equal content, ``stills``
shows pictures of them, and ``cache`` keeps what probing found in an SQLite file, the frame indexes (``index_bytes``)
included.
"""
