"""Teachers: whatever says of clips which classes they are of, behind one contract."""

from video_rs.inference.teachers.classes import ClassMatch, match_classes
from video_rs.inference.teachers.loading import load_teacher

__all__ = ["ClassMatch", "load_teacher", "match_classes"]
