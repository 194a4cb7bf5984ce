"""What is in a data set: rows, records and label maps, the one reader and the one writer of lists, and their sources.

A list becomes records in three steps:

1. :mod:`video_rs.lists.reading` reads its rows as they are written, whichever form the list has.
2. :mod:`video_rs.lists.classes` and :mod:`video_rs.lists.video_paths` find out what labels and paths mean.
3. :mod:`video_rs.lists.records` puts both together: one :class:`~video_rs.lists.records.VideoRecord` for each row.

:mod:`video_rs.lists.writing` writes rows back to a file, and :mod:`video_rs.lists.sources` makes the rows of public
data sets and of folders.
"""
