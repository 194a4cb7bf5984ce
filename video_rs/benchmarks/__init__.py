"""Studies: what composes models, engine and inference to measure and compare."""
