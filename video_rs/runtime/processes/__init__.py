"""The processes behind video_rs.runtime.workers."""
