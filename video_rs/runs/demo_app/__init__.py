"""A page that answers for videos of whoever visits it: best classes, where the network looks, what happens when."""

from video_rs.runs.demo_app.demo_app import DemoJob, run_demo_app

__all__ = ["DemoJob", "run_demo_app"]
