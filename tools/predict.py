"""Label videos: ``python tools/predict.py --checkpoint CKPT VIDEO [VIDEO ...] [--json OUT]``."""

import argparse
from pathlib import Path

from video_rs import cli


def main() -> None:
    """Parses the command line, prints the five best labels of each video, and answers 2 if any could not be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="a .pth file of a run")
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--json", default="", metavar="OUT", help="also write the answers as a JSON array")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--decoder", default="auto", help="auto, pyav, decord, torchcodec or torchcodec_cuda")
    args = parser.parse_args()

    from video_rs.atomic import write_json
    from video_rs.errors import InputError
    from video_rs.inference import Predictor

    predictor = Predictor.from_checkpoint(args.checkpoint, args.device, args.decoder)
    if predictor.multi_label:
        print("each label is judged by itself: the scores of a video need not sum to 100 %")
    answers = []
    for answer in predictor.predict_many(args.videos):
        show(answer)
        answers.append(answer.to_dict())
    if args.json:
        write_json(Path(args.json), answers)
    failed = sum(answer["error"] is not None for answer in answers)
    if failed:
        raise InputError(f"{failed} of {len(answers)} videos could not be read; each is named above with its reason")


def show(answer) -> None:
    """One block for each video."""
    if answer.error is not None:
        print(f"{answer.video}\n  error: {answer.error}", flush=True)
        return
    lines = [f"  {score:7.2%}  {label}" for label, score in answer.top]
    print("\n".join([answer.video, *lines]), flush=True)


if __name__ == "__main__":
    cli.run(main)
