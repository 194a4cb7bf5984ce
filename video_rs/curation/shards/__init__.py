"""Packing the files of a list into shards: tar archives in WebDataset's layout, which our lists read in place."""
