"""Training and evaluation on objects handed in: imports neither data nor models nor config."""
