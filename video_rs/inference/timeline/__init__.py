"""What happens when in a long video: windows that slide over it, and segments with a label of what they show.

A video goes through these modules one window after the other, whatever its length:

- ``windows`` says which frames make which window, and ``reading`` decodes and resizes each of these frames once.
- ``scoring`` gives each window its probabilities, in batches, with the network and the preprocessing of a predictor.
- ``smoothing`` averages over neighbouring windows, and ``segments`` finds where a class begins and ends.
- ``building`` puts these together, ``making`` does so for a file, and ``window_log`` keeps what is worth it of windows.
- ``files`` writes the ``Timeline`` that comes of it: JSON, CSV and subtitles.
- ``annotation`` draws the labels into a copy of the video.
- ``live`` does the same for a camera or a stream, of which ``live_reading`` takes the frames of ``video_rs.video.live``
  in a thread, and ``live_windows`` holds those that are needed.
"""
