"""A study: named runs in one folder, and the file that says which they are.

::

    FOLDER/study.json          the runs, each as the values in which it differs from the defaults
    FOLDER/report.html         what they say together
    FOLDER/runs/NAME/          a run, with its test in test/
    FOLDER/runs/NAME/done.json written last: the run is finished

Any number of processes may work on one study: what is finished is read from the folders of the runs.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.config import OPTIONS, PATH_KEYS, Config, load_config
from video_rs.config.config import absolute_paths
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.folders import make_writable
from video_rs.runtime.outputs import require_own
from video_rs.runtime.wording import nearest

FORMAT = 1
# What a study itself sets in each run.
OWN_KEYS = ("OUTPUT_DIR", "RNG_SEED")
# Settings by which a study is another one; others may change from one command to the next.
FIXED_SETTINGS = ("ladder", "k")
# The setting that says which weights the sources of a study are: name -> path -> SHA-256 of the file. Sources, and the
# checkpoints of one, may be added.
SOURCES = "sources"
# What a run does where nothing else is said: training, then a test.
TRAINING = "training"
DEFAULTS = {option.key: option.default for option in OPTIONS}


@dataclass(frozen=True)
class StudyRun:
    """A run of a study.

    Attributes:
        row: what is tried; the runs of a row differ in their seeds alone.
        seed: RNG_SEED.
        keys: configuration keys and values that are not the defaults, without OUTPUT_DIR and RNG_SEED.
        work: what the run does, by a name that :data:`video_rs.studies.one_run.WORK` has.
    """

    row: str
    seed: int
    keys: Mapping[str, Any]
    work: str = TRAINING

    @property
    def name(self) -> str:
        """The name of the run, and of its folder."""
        return f"{self.row}-seed{self.seed}"

    @property
    def trains(self) -> bool:
        """Whether the run takes steps of an optimizer."""
        return self.work == TRAINING


@dataclass(frozen=True)
class Study:
    """Runs that belong together.

    Attributes:
        folder: of the study.
        kind: the command that made it, such as "additive".
        settings: of the command, plain data; what the report needs beside the runs.
        threads: of each run. Sums are added up in another order by another number of them, so they are a part of the
            study, as a seed is.
        runs: in the order in which they are done.
    """

    folder: Path
    kind: str
    settings: Mapping[str, Any]
    threads: int
    runs: tuple[StudyRun, ...]

    def run(self, name: str) -> StudyRun:
        """Return the run of a name.

        Raises:
            InputError: there is none.
        """
        names = [run.name for run in self.runs]
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(names)}"
            raise InputError(f"the study in {self.folder} has no run {name!r}; {hint}")
        return self.runs[names.index(name)]

    def run_folder(self, run: StudyRun) -> Path:
        """Return where a run writes."""
        return self.folder / "runs" / run.name

    def config(self, run: StudyRun, **more: Any) -> Config:
        """Return the configuration of a run; ``more`` are keys over it, with ``__`` in the place of dots."""
        changed = {key.replace("__", "."): value for key, value in more.items()}
        own = {"OUTPUT_DIR": str(self.run_folder(run)), "RNG_SEED": run.seed}
        return load_config("", {**run.keys, **own, **changed})

    def is_finished(self, run: StudyRun) -> bool:
        """Return whether a run has come to its end, test included."""
        return (self.run_folder(run) / "done.json").is_file()

    def unfinished(self) -> list[StudyRun]:
        """Return the runs that are still to be done, or to be gone on with."""
        return [run for run in self.runs if not self.is_finished(run)]

    def rows(self) -> list[str]:
        """Return the rows in the order of their first runs."""
        return list(dict.fromkeys(run.row for run in self.runs))

    def save(self) -> None:
        """Write study.json, whole or not at all."""
        runs = [{"name": run.name, **dataclasses.asdict(run)} for run in self.runs]
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "settings": dict(self.settings),
            "threads": self.threads,
            "runs": runs,
        }
        write_json(self.folder / "study.json", content)


def keys_of(config: Config) -> dict[str, Any]:
    """Return the values of a configuration that are not the defaults, with absolute paths, for a run of a study.

    Raises:
        InputError: it is of pre-training, whose runs have no classes to test.
    """
    if config.CONTRAST.ENABLED:
        raise InputError(
            "CONTRAST.ENABLED is true, and the runs of a study are trained on labels; give a --cfg that train takes, "
            "and pre-trained networks as --source of transfer_study"
        )
    values = config.flat()
    values.update(absolute_paths(values, PATH_KEYS))
    return {key: value for key, value in values.items() if key not in OWN_KEYS and value != _plain(DEFAULTS[key])}


def _plain(value: Any) -> Any:
    """Return a default as :meth:`Config.flat` has values: several numbers are a list."""
    return list(value) if isinstance(value, tuple) else value


def load_study(folder: str | Path) -> Study:
    """Read the study of a folder.

    Raises:
        InputError: there is none, or its file cannot be read.
    """
    path = Path(folder) / "study.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple(
            StudyRun(run["row"], run["seed"], run["keys"], run.get("work", TRAINING)) for run in content["runs"]
        )
        study = Study(path.parent, content["kind"], content["settings"], content["threads"], runs)
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no study: it has no study.json; name the folder of one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"cannot read {path}: {error!r}; take it back from a copy, or start in another folder"
        ) from error

    if content.get("format") != FORMAT:
        raise InputError(f"{path} has the format {content.get('format')!r}; this version reads {FORMAT}")
    return study


def open_study(wanted: Study) -> Study:
    """Return a study whose folder is new, or that goes on with the runs that its folder has already; it is not saved.

    Runs may be added to a study, for instance further seeds. Those that it has must be the same.

    Raises:
        InputError: there are no runs, or the folder holds another study.
    """
    if not wanted.runs:
        raise InputError("the study has no runs: give at least one row, and one seed")
    if wanted.threads < 1:
        raise InputError(f"--threads {wanted.threads}: give 1 or more")
    if not (wanted.folder / "study.json").exists():
        require_own("--out", wanted.folder, ("report.html", "table.csv"), "study.json")
        make_writable(wanted.folder, "--out")
        return wanted

    known = load_study(wanted.folder)
    for difference in _differences(known, wanted):
        raise InputError(
            f"{wanted.folder} holds another study: {difference}; give the same command to go on with it, or "
            "another --out"
        )
    names = {run.name for run in known.runs}
    added = tuple(run for run in wanted.runs if run.name not in names)
    settings = dict(wanted.settings)
    if SOURCES in known.settings:
        settings[SOURCES] = _joined_sources(known.settings[SOURCES], settings.get(SOURCES, {}))
    return dataclasses.replace(known, runs=known.runs + added, settings=settings)


def _differences(known: Study, wanted: Study) -> Iterator[str]:
    """Give what a study has that was asked for otherwise now."""
    if known.kind != wanted.kind:
        yield f"its kind is {known.kind}, not {wanted.kind}"
    if known.threads != wanted.threads:
        yield f"its runs have --threads {known.threads}, not {wanted.threads}"
    for name in FIXED_SETTINGS:
        before, now = known.settings.get(name), wanted.settings.get(name)
        if before != now:
            yield f"its --{name} is {before}, not {now}"
    known_runs = {run.name: run for run in known.runs}
    for run in wanted.runs:
        if run.name in known_runs:
            yield from _changed_keys(run.name, known_runs[run.name].keys, run.keys)
    yield from _changed_sources(known.settings.get(SOURCES, {}), wanted.settings.get(SOURCES, {}))


def _changed_keys(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Give the keys of a run that have another value now."""
    for key in sorted(before.keys() | now.keys()):
        values = [mapping.get(key, _plain(DEFAULTS[key])) for mapping in (before, now)]
        if values[0] != values[1]:
            yield f"{key} of {name} is {values[0]!r}, not {values[1]!r}"


def _changed_sources(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Give the sources that are other weights now."""
    for name in [name for name in before if name in now]:
        # The checkpoints of further seeds come last.
        for (old_path, old), (new_path, new) in zip(before[name].items(), now[name].items(), strict=False):
            if old_path != new_path:
                yield f"its --source {name} is {old_path}, not {new_path}"
            elif old != new:
                yield f"{old_path} of its --source {name} was another file (sha256 {old[:12]}, now {new[:12]})"


def _joined_sources(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return the sources of a study with those that a command adds, or adds checkpoints to."""
    return {name: {**before.get(name, {}), **now.get(name, {})} for name in (*before, *now)}


def with_seeds(rows: Mapping[str, Mapping[str, Any]], seeds: Mapping[str, int]) -> tuple[StudyRun, ...]:
    """Return the runs of rows: the first seed of all rows, then the second of all, so that an early look is fair.

    Args:
        rows: row -> keys.
        seeds: row -> how many.
    """
    runs = []
    for seed in range(max(seeds.values(), default=0)):
        runs += [StudyRun(row, seed, keys) for row, keys in rows.items() if seed < seeds[row]]
    return tuple(runs)
