"""One reader for each way of decoding.

- ``pyav`` reads every file that FFmpeg decodes, GIFs among them, and finds damage exactly (``damage_tracking``).
- ``torchcodec`` and ``decord`` read the files in which they find the right frames. Both derive from ``pyav_fallback``,
  which hands a file to PyAV when FFmpeg's log (``ffmpeg_log``) tells of damage.
- ``images`` reads folders of pictures, ``webp`` animated WebP, and ``in_memory`` frames that are there already.
"""
