"""A handler of a protocol of one's own, as a user would write it for iopath."""

import os

from iopath.common.file_io import PathHandler


class Attic(PathHandler):
    """``attic://name`` is a file in the folder that the environment names."""

    def _get_supported_prefixes(self):
        return ["attic://"]

    def _get_local_path(self, path, **_):
        return os.path.join(os.environ["ATTIC"], path.removeprefix("attic://"))
