"""What knows nothing of video: errors, exit codes, signals, whole-file writes, process groups, progress, workers."""
