"""The ffmpeg programs, where they are installed."""

import shutil

import pytest

PROGRAMS = ["pyav", pytest.param("ffmpeg", marks=pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg"))]
