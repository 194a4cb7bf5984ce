"""Numbers of probabilities and truths: accuracy, calibration, intervals, comparisons. Arrays in, numbers out."""
