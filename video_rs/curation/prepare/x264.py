"""How x264 encodes a file that is quick to read from anywhere inside."""


def quick_to_read(crf: int) -> dict[str, str]:
    """Return options of x264.

    ``fastdecode`` (no CABAC, no deblocking) doubles the clips per second for a seventh more bytes. Measured on 10 s of
    340x256, random 32-frame clips of stride 2: 37.3 clips/s with it, 21.4 without, 16.7 from the usual long groups.
    Beside that, B-frames (36.3) and key-frame intervals from 8 to 32 (38.2 to 34.4) matter little. ``faster`` takes
    half of the time of the default preset, and 7 % more bytes for an equal PSNR.
    """
    return {"crf": str(crf), "bf": "0", "tune": "fastdecode", "preset": "faster"}
