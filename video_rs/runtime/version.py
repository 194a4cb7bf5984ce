"""The version of the package, where every room can read it: the package itself imports rooms for type checkers."""

__version__ = "0.1.0"
