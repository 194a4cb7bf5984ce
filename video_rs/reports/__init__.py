"""What a run leaves for people to read: the run log, its curves, and one self-contained HTML report.

Plain numbers and arrays come in; nothing here knows models, data, the engine or the config.
"""

from video_rs.reports.html import Example, Report, write_report
from video_rs.reports.run_log import RunLog, read_log

__all__ = ["Example", "Report", "RunLog", "read_log", "write_report"]
