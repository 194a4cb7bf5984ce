"""The lists that the runs of a study read, each once."""

from video_rs.builders import build_lists
from video_rs.builders.lists import Lists
from video_rs.studies.study import Study, StudyRun

_KEYS = ("TRAIN_LIST", "VAL_LIST", "PSEUDO_LIST", "ROOT", "LABEL_MAP", "MULTI_LABEL", "PATH_HANDLERS")


class StudyLists:
    """Lists by the keys that name them.

    Args:
        study: of the runs.
    """

    def __init__(self, study: Study):
        self._study = study
        self._known: dict[tuple, Lists] = {}

    def of(self, run: StudyRun) -> Lists:
        """Return what a run trains and is tested on.

        Raises:
            InputError: a list cannot be read, or there is none to test on.
        """
        config = self._study.config(run)
        key = (config.MODEL.NUM_CLASSES, *(config.DATA[name] for name in _KEYS))
        if key not in self._known:
            self._known[key] = build_lists(config)
        return self._known[key]
