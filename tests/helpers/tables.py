"""CSV files as lists of rows."""

import csv


def table(path):
    """Return one dict for each row of a CSV with a header."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
