"""The motion demo: a generated data set whose classes differ in motion and in nothing else."""
