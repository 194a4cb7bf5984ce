"""Fixtures of the benchmarks' tests."""

from helpers.benchmarks import pids, quick

__all__ = ["pids", "quick"]
