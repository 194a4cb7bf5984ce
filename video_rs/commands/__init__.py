"""The command line: one module for each command, ``video-rs`` that finds them, and what their parsers share.

The module of a command has a docstring, which is its help text, ``EXAMPLES`` (arguments as a user types them behind the
name of the command), ``CODES`` (what the exit codes mean), ``add_arguments(parser)`` and ``run(args)``. It imports what
takes time inside ``run``, so that ``--help`` answers at once.
"""
