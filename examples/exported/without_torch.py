"""Label a video with a model of ``video-rs export``, without PyTorch and video_rs.

Needs ``pip install av numpy onnxruntime pillow``; call it as ``python without_torch.py model.onnx video.mp4``.
Frames are taken as they are coded: turn those of a video that says that it is shown turned.
"""

import argparse
import json

import av
import numpy as np
import onnxruntime
from PIL import Image


def read_frames(path: str) -> np.ndarray:
    """Return all frames of a video, uint8 RGB ``[N, H, W, 3]``."""
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def clip_frames(num_frames: int, clip: dict, num_clips: int) -> np.ndarray:
    """Return which frames make the clips, int ``[K, T]``, spread over the video."""
    if clip["clip_sampler"] != "frames" or clip["target_fps"]:
        raise SystemExit("this model takes clips by time; the example takes them by frames only")
    span = clip["num_frames"] * clip["sampling_rate"]
    starts = np.linspace(0, max(0, num_frames - span), num_clips).astype(int)
    if num_clips == 1:
        starts = np.array([max(0, (num_frames - span) // 2)])

    frames = starts[:, None] + np.arange(clip["num_frames"]) * clip["sampling_rate"]
    if clip["short_video"] == "wrap":
        return frames % num_frames
    return np.minimum(frames, num_frames - 1)


def resize(frames: np.ndarray, short_side: int, antialias: bool) -> np.ndarray:
    """Return frames bilinearly resized to a short side: half-pixel centres, truncated to uint8; or with antialias."""
    height, width = frames.shape[1:3]
    new_height = max(short_side, height * short_side // width)
    new_width = max(short_side, width * short_side // height)
    if antialias:
        images = [Image.fromarray(frame).resize((new_width, new_height), Image.BILINEAR) for frame in frames]
        return np.stack([np.asarray(image) for image in images])

    rows, next_rows, down = neighbours(height, new_height)
    columns, next_columns, right = neighbours(width, new_width)
    down = down[:, None, None]
    right = right[:, None]
    resized = np.empty((len(frames), new_height, new_width, 3), np.uint8)
    for number, frame in enumerate(frames.astype(np.float64)):
        left = frame[rows] * (1 - down) + frame[next_rows] * down
        value = left[:, columns] * (1 - right) + left[:, next_columns] * right
        # An exact integer may come out a rounding below itself.
        resized[number] = value + 2.0**-12
    return resized


def neighbours(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two places that each new one lies between, and how far from the first it lies."""
    places = np.maximum((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0)
    first = places.astype(int)
    return first, np.minimum(first + 1, size - 1), places - first


def crops(frames: np.ndarray, size: int, count: int) -> list[np.ndarray]:
    """Return one crop of the centre, or three along the longer side."""
    height, width = frames.shape[1:3]
    top = (height - size) // 2
    left = (width - size) // 2
    corners = [(top, left)]
    if count == 3:
        longer = max(height, width)
        along = (0, round(longer / 2 - size // 2), longer - size)
        corners = [(place, left) if height >= width else (top, place) for place in along]
    return [frames[:, y : y + size, x : x + size] for y, x in corners]


def main() -> None:
    """Print the best classes of a video, or that the model is unsure."""
    parser = argparse.ArgumentParser(description="Label a video with an exported model.")
    parser.add_argument("model")
    parser.add_argument("video")
    args = parser.parse_args()

    session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    preprocessing = about["preprocessing"]
    transform = preprocessing["transform"]

    frames = resize(read_frames(args.video), transform["short_side"], transform["antialias"])
    clips = clip_frames(len(frames), preprocessing["clip"], preprocessing["num_clips"])
    probabilities = []
    for crop in crops(frames, transform["crop_size"], transform["num_crops"]):
        for clip in clips:
            view = crop[clip].transpose(3, 0, 1, 2)[None]  # [T, H, W, 3] -> [1, 3, T, H, W]
            probabilities.append(session.run(["probabilities"], {"clips": view})[0][0])

    # A video's probabilities are the mean over its views.
    mean = np.mean(probabilities, axis=0)
    if about["threshold"] is not None and mean.max() < about["threshold"]:
        print("unsure")
    for place in np.argsort(-mean)[:5]:
        print(f"{mean[place]:.6f}  {about['label_names'][place]}")


if __name__ == "__main__":
    main()
