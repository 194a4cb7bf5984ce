"""Data sets as files: the doctor, preparation, shards, the demo clips."""
