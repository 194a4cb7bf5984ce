"""The command ``video-rs quantize``, for a checkout."""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.commands.main import run_script

if __name__ == "__main__":
    run_script("quantize")
