"""Speaks as the worker of a benchmark does, without the seconds in which PyTorch is imported.

``python -m helpers.quick_worker SUBJECT_JSON``; a subject of the network "fails" cannot be measured, and one of the
network "hangs" gives no numbers but of its first round.
"""

import json
import sys
import time


def main():
    subject = json.loads(sys.argv[1])
    if subject["network"] == "fails":
        print(json.dumps({"error": "no such thing"}), flush=True)
        return

    print(json.dumps({"peak_memory_mb": 10.0}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": [0.5, 0.5]}), flush=True)
        if subject["network"] == "hangs":
            time.sleep(60)
    print(json.dumps({"peak_memory_mb": 20.0}), flush=True)


if __name__ == "__main__":
    main()
