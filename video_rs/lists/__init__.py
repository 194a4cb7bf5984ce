"""What is in a data set: records, label maps, splits, the reader and the writer of lists, their sources."""
