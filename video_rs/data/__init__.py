"""From the records of a list to batches of clips: sampling, transforms, data set, order, loader, mixing."""
