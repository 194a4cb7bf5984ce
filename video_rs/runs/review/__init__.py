"""A page on which a person looks through the doubtful videos of a list, and a new list with what was decided."""

from video_rs.runs.review.review import ReviewJob, run_review

__all__ = ["ReviewJob", "run_review"]
