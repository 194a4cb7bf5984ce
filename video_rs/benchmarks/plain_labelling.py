"""Labels videos as somebody would in ten lines of Python: a process that the benchmark of pseudo-labels starts.

Arguments: a teacher, a file with a path a line, and a CSV to write.
"""

import csv
import sys

from video_rs.inference.loading import load_predictor


def main() -> None:
    """Write path, label and probability of each video."""
    teacher, listed, out = sys.argv[1:]
    predictor = load_predictor(teacher, "cpu")
    with open(listed, encoding="utf-8") as lines, open(out, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        for path in lines.read().splitlines():
            label, probability = predictor.predict(path).top[0]
            rows.writerow([path, label, probability])


if __name__ == "__main__":
    main()
