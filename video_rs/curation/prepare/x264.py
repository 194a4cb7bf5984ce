"""How x264 encodes a file that is quick to read from anywhere inside."""


def quick_to_read(crf: int, stride: int) -> dict[str, str]:
    """Return options of x264.

    Args:
        crf: constant rate factor.
        stride: of the clips that will be read. The frames between every ``stride``-th one and the next are B-frames to
            which no frame refers, so that a reader of every ``stride``-th frame need not decode them. A scene that
            changes moves none of these places: only the last frames before a key frame are no B-frames.

    ``fastdecode`` (no CABAC, no deblocking) doubles the clips per second for a seventh more bytes. Measured on 10 s of
    340x256, random 32-frame clips of stride 2: 37.3 clips/s with it, 21.4 without, 16.7 from the usual long groups.
    Beside that, B-frames (36.3) and key-frame intervals from 8 to 32 (38.2 to 34.4) matter little. ``faster`` takes
    half of the time of the default preset, and 7 % more bytes for an equal PSNR.
    """
    options = {"crf": str(crf), "bf": str(stride - 1), "tune": "fastdecode", "preset": "faster"}
    if stride > 1:
        options["x264-params"] = "b-adapt=0:b-pyramid=none:scenecut=0:open-gop=0"
    return options
