"""A page that answers for the videos of whoever visits it: best classes, and where the network looks."""

from video_rs.runs.demo_app.demo_app import DemoJob, run_demo_app

__all__ = ["DemoJob", "run_demo_app"]
