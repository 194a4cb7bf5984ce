"""From list files to batches of clips: records, decoding, sampling, transforms, dataset, loader."""
