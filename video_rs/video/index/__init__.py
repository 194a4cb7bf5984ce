"""Which frames a video shows, and how to come to each of them.

``packet_scan.scan`` reads all packets of a file and gives a ``frame_index.FrameIndex``, on which all readers rely:

- ``stream_choice`` takes one of several video streams in a file.
- ``packet_reading`` fills a ``packet_table`` with what the packets of a stream say of themselves; ``bitstream`` and
  ``picture_sizes`` look into their first bytes, where the container does not tell.
- ``truncation`` and ``container_size`` find files that were cut.
- ``full_decode`` learns the frames by decoding the file once, where its packets do not tell them.
- ``numbered_packets`` and ``frame_numbering`` give each decoded frame its number, also after a seek.
- ``scan_cache`` keeps the indexes in memory, for as long as the process lives.
"""
