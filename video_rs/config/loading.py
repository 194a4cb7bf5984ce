"""The defaults, YAML files and KEY VALUE overrides, merged strictly into a frozen configuration."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from video_rs.config.config import Config, absolute_paths
from video_rs.config.options import OPTIONS
from video_rs.config.values import valid
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

BY_KEY = {option.key: option for option in OPTIONS}
PATH_KEYS = tuple(option.key for option in OPTIONS if option.is_path)

PACKAGE = Path(__file__).parents[1]
# Of an installed package, and of a checkout.
BUNDLED = (PACKAGE / "configs", PACKAGE.parent / "configs")


class Item(NamedTuple):
    """A value that somebody gave.

    Attributes:
        key: full key, not checked yet.
        value: text, or what YAML made of text.
        source: where it was given.
    """

    key: Any
    value: Any
    source: str


def load_config(name_or_path: str | Path = "", overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """Return the defaults, then a YAML file after the files of its ``_BASE_``, then overrides.

    Args:
        name_or_path: a path, or a name looked up under ``configs/``; empty for the defaults alone.
        overrides: bare KEY VALUE pairs as typed on a command line, or a mapping of full keys.

    Raises:
        InputError: an unknown file or key (the nearest is named), or a value of another type or range.
    """
    items = _read_yaml(find_config(str(name_or_path)), ()) if name_or_path else []
    return _merged([*items, *_override_items(overrides)])


def config_from_text(text: str, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """Return the configuration of the YAML text that a checkpoint stores, with overrides.

    Raises:
        InputError: as of :func:`load_config`.
    """
    items = _items(_parsed_mapping(text, "the checkpoint's config"), "checkpoint")
    return _merged([*items, *_override_items(overrides)])


def stored_config(config: Config) -> str:
    """Return a configuration as a run keeps it, in YAML.

    Its files and folders are absolute, so the run can be tested and continued from any folder.
    """
    placed = absolute_paths(config.flat(), PATH_KEYS)
    # These may also be names of published weights, or of another kind of teacher.
    for key in ("MODEL.PRETRAINED", "DISTILL.TEACHER"):
        value = config.flat()[key]
        if os.path.exists(value):
            placed[key] = os.path.abspath(value)
    return Config({**config.flat(), **placed}).dump()


def find_config(name_or_path: str) -> Path:
    """Return the file behind ``--cfg``.

    That is an existing file, the config of an existing run's folder, or ``configs/NAME`` or ``configs/NAME.yaml``.

    Raises:
        InputError: there is none.
    """
    # Beside an installed package, the second folder would be anybody's.
    folder = next((folder for folder in BUNDLED if folder.is_dir()), None)
    given = Path(name_or_path)
    candidates = [given, given / "config.yaml"]
    if folder is not None:
        candidates += [folder / name_or_path, folder / f"{name_or_path}.yaml"]
    for path in candidates:
        if path.is_file():
            return path

    if given.is_dir():
        raise InputError(f"folder {given} has no config.yaml; give a run's folder, a file or a name under configs/")
    known = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml")) if folder else []
    near = nearest(name_or_path, known)
    hint = f"; did you mean {near!r}?" if near else ""
    raise InputError(f"no config {name_or_path!r}: neither a file nor a name under configs/{hint}")


def _read_yaml(path: Path, seen: tuple[Path, ...]) -> list[Item]:
    """Return the items of a file after those of its ``_BASE_``, which is relative to the file."""
    path = path.resolve()
    if path in seen:
        raise InputError(f"{path}: _BASE_ leads back to the file itself; remove one of: {', '.join(map(str, seen))}")

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        wanted_by = f" (the _BASE_ of {seen[-1]})" if seen else ""
        raise InputError(f"cannot read {path}{wanted_by}: {error}") from error

    # A config may build on another one, which comes first, so that its values can be replaced.
    tree = _parsed_mapping(text, str(path))
    base = tree.pop("_BASE_", None)
    inherited = []
    if base is not None:
        inherited = _read_yaml(path.parent / str(base), (*seen, path))
    return [*inherited, *_items(tree, str(path))]


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice in one mapping, of which plain YAML silently keeps the last."""

    def construct_mapping(self, node, deep=False):
        keys = []
        for key_node, _ in node.value:
            # What is merged in may be given again: that is what merging is for.
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"{key!r} is given twice, again in line {line}; join the two")
            keys.append(key)
        return super().construct_mapping(node, deep)


def _parsed_mapping(text: str, source: str) -> dict:
    """Return the mapping that a YAML text holds; an empty text holds an empty one."""
    try:
        tree = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError) as error:
        # ValueError comes of a date of month 13, or of a number of 5,000 digits.
        raise InputError(f"cannot read {source}: {' '.join(str(error).split())}") from error

    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"{source} holds {type(tree).__name__}; allowed: a mapping of keys to values")
    return tree


def _items(tree: Mapping, source: str, prefix: str = "") -> list[Item]:
    """Return the values of nested mappings by their full keys."""
    items = []
    for key, value in tree.items():
        full_key = f"{prefix}{key}"
        if isinstance(value, dict):
            items += _items(value, source, f"{full_key}.")
        else:
            items.append(Item(full_key, value, source))
    return items


def _override_items(overrides: Sequence[str] | Mapping[str, Any]) -> list[Item]:
    if isinstance(overrides, Mapping):
        pairs = list(overrides.items())
    else:
        if len(overrides) % 2:
            raise InputError(f"overrides are KEY VALUE pairs; {overrides[-1]!r} at the end has no value")
        pairs = list(zip(overrides[::2], overrides[1::2], strict=True))
    return [Item(key, value, "override") for key, value in pairs]


def _merged(items: Iterable[Item]) -> Config:
    """Return the defaults with items over them, the last of each key."""
    values = {option.key: option.default for option in OPTIONS}
    for item in items:
        if item.key not in BY_KEY:
            raise InputError(f"unknown config key {str(item.key)!r} ({item.source}){_hint(str(item.key))}")
        values[item.key] = valid(BY_KEY[item.key], item.value, item.source)
    return Config(values)


def _hint(key: str) -> str:
    """Return what somebody may have meant by an unknown key."""
    if any(known.startswith(f"{key}.") for known in BY_KEY):
        return f"; it is a group: give {key}.NAME, or nested names and values in YAML"

    # The group alone, which all its keys share, makes none of them near; so names are compared, first in the group.
    group, _, name = key.upper().rpartition(".")
    for prefix in (f"{group}.", ""):
        names = {known.rpartition(".")[2]: known for known in BY_KEY if known.startswith(prefix)}
        near = nearest(name, names)
        if near:
            return f"; did you mean {names[near]!r}?"
    return "; video-rs options lists all keys"
