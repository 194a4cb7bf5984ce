"""Data sets as files.

- :mod:`video_rs.curation.doctor` checks a data set: what is wrong with its lists and files, and its list without that.
- :mod:`video_rs.curation.prepare` encodes its videos again, small and quick to read from anywhere inside.
- :mod:`video_rs.curation.shards` packs its files into tar archives.
- :mod:`video_rs.curation.motion_demo` generates a small data set.

Preparing and packing are jobs that fill a folder and can be resumed (:mod:`video_rs.curation.job_folder`); checking and
preparing work on files in other processes (:mod:`video_rs.curation.file_workers`).
"""
