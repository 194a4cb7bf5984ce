"""``video-rs``, and ``python -m video_rs``: all commands of the package."""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.commands.main import main

if __name__ == "__main__":
    main()
