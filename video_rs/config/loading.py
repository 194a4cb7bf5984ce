"""Configuration: the options' defaults, YAML and KEY VALUE overrides merged strictly, then frozen.

Only this module, the builders, the jobs and ``tools/`` see a config. ``python -m video_rs.config`` prints all options.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from video_rs.config.options import OPTIONS, Option
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

Item = tuple[str, Any, str]  # full key, value, where it was given


BY_KEY = {option.key: option for option in OPTIONS}
PACKAGE = Path(__file__).parents[1]
BUNDLED = (PACKAGE / "configs", PACKAGE.parent / "configs")


class Config(CfgNode):
    """fvcore's ``CfgNode``, whose ``freeze`` also stops what a dict can do to itself, and with it ``merge_from_*``."""

    def __reduce__(self):
        # Copied and pickled whole: item by item, a frozen copy would refuse its own items.
        return _rebuilt, (dict(self), dict(self.__dict__))


def _rebuilt(items: dict, attributes: dict) -> Config:
    config = Config()
    dict.update(config, items)
    config.__dict__.update(attributes)
    return config


def _unless_frozen(name: str):
    inherited = getattr(CfgNode, name)

    @wraps(inherited)
    def method(self, *args, **kwargs):
        if self.is_frozen():
            raise AttributeError("the configuration is frozen; load_config with overrides makes another")
        return inherited(self, *args, **kwargs)

    return method


for _name in ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear"):
    setattr(Config, _name, _unless_frozen(_name))


def load_config(name_or_path: str | Path = "", overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """The defaults, then a YAML file and its ``_BASE_`` files, then overrides.

    Args:
        name_or_path: a path, or a name looked up under ``configs/``; empty for the defaults alone.
        overrides: bare KEY VALUE pairs as typed on a command line, or a mapping of full keys.

    Returns:
        A frozen config.

    Raises:
        InputError: an unknown file or key (the nearest is named), or a value of another type or range.
    """
    items = _read_yaml(find_config(str(name_or_path)), ()) if name_or_path else []
    return _checked([*items, *_override_items(overrides)])


def config_from_text(text: str, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """A config from the YAML text that a checkpoint stores, with overrides; errors as :func:`load_config`."""
    items = _items(_parsed_mapping(text, "the checkpoint's config"), "checkpoint")
    return _checked([*items, *_override_items(overrides)])


def flat(config: Config) -> dict[str, Any]:
    """``{full key: value}`` in the order of the options."""
    return {key: _get(config, key) for key in BY_KEY}


def find_config(name_or_path: str) -> Path:
    """Return the file behind ``--cfg``: an existing path, a run's folder for the config in it, else
    ``configs/NAME`` or ``configs/NAME.yaml``.
    """
    # The first only: beside an installed package, the second would be anybody's.
    folders = [folder for folder in BUNDLED if folder.is_dir()][:1]
    given = Path(name_or_path)
    candidates = [given, given / "config.yaml", *(f / (name_or_path + end) for f in folders for end in ("", ".yaml"))]
    for path in candidates:
        if path.is_file():
            return path
    if given.is_dir():
        raise InputError(f"folder {given} has no config.yaml; give a run's folder, a file or a name under configs/")
    known = sorted(str(p.relative_to(f)) for f in folders for p in f.rglob("*.yaml"))
    raise InputError(
        f"no config {name_or_path!r}: neither a file nor a name under configs/{_near(name_or_path, known)}"
    )


def _read_yaml(path: Path, seen: tuple[Path, ...]) -> list[Item]:
    """Items of a file after those of its ``_BASE_``, which is relative to the file."""
    path = path.resolve()
    if path in seen:
        raise InputError(f"{path}: _BASE_ leads back to the file itself; remove one of: {', '.join(map(str, seen))}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        wanted_by = f" (the _BASE_ of {seen[-1]})" if seen else ""
        raise InputError(f"cannot read {path}{wanted_by}: {error}") from error
    tree = _parsed_mapping(text, str(path))
    base = tree.pop("_BASE_", None)
    inherited = [] if base is None else _read_yaml(path.parent / str(base), (*seen, path))
    return [*inherited, *_items(tree, str(path))]


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice in one mapping, of which plain YAML would silently keep the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                line = node.value[i][0].start_mark.line + 1
                raise yaml.YAMLError(f"{key!r} is given twice, again in line {line}; join the two")
        return super().construct_mapping(node, deep)


def _parsed_mapping(text: str, source: str) -> dict:
    try:
        tree = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date of month 13, a number of 5000 digits
        raise InputError(f"cannot read {source}: {' '.join(str(error).split())}") from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise InputError(f"{source} holds {type(tree).__name__}; allowed: a mapping of keys to values")
    return tree


def _items(tree: Mapping, source: str, prefix: str = "") -> list[Item]:
    items = []
    for key, value in tree.items():
        full = f"{prefix}{key}"
        items += _items(value, source, full + ".") if isinstance(value, dict) else [(full, value, source)]
    return items


def _override_items(overrides: Sequence[str] | Mapping[str, Any]) -> list[Item]:
    if isinstance(overrides, Mapping):
        return [(key, value, "override") for key, value in overrides.items()]
    if len(overrides) % 2:
        raise InputError(f"overrides are KEY VALUE pairs; {overrides[-1]!r} at the end has no value")
    return [(k, v, "override") for k, v in zip(overrides[::2], overrides[1::2], strict=True)]


def _checked(items: Iterable[Item]) -> Config:
    config = Config()
    for option in OPTIONS:
        _set(config, option.key, option.default)
    for key, value, source in items:
        if key not in BY_KEY:
            hint = _near_key(str(key)) or "; python -m video_rs.config lists all keys"
            if any(known.startswith(f"{key}.") for known in BY_KEY):
                hint = f"; it is a group: give {key}.NAME, or nested names and values in YAML"
            raise InputError(f"unknown config key {key!r} ({source}){hint}")
        _set(config, key, _valid(BY_KEY[key], value, source))
    config.freeze()
    return config


def _set(config: Config, key: str, value) -> None:
    *groups, leaf = key.split(".")
    for group in groups:
        config = config.setdefault(group, Config())
    config[leaf] = list(value) if isinstance(value, list) else value


def _get(config: Config, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def _valid(option: Option, value, source: str):
    """``value`` in the type of the option's default, within what is allowed."""
    try:
        value = _coerced(value, option.default)
    except (TypeError, ValueError, OverflowError):
        kind = _describe(option.default)
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {kind}") from None
    if option.choices and value not in option.choices:
        allowed = ", ".join(repr(choice) for choice in option.choices)
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {allowed}")
    numbers = value if isinstance(value, list) else [value]
    numbers = [x for x in numbers if isinstance(x, (int, float))]
    if not all(math.isfinite(x) and option.low <= x <= option.high for x in numbers):
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {_describe_bounds(option)}")
    return value


def _coerced(value, default):
    """``value``, parsed where it is text, in the type of ``default``; raises ValueError or TypeError."""
    if isinstance(default, str):
        if isinstance(value, (dict, list)) or value is None:
            raise TypeError
        return str(value)
    if isinstance(value, str):
        value = _parsed(value)
    if default is None:
        return value
    if isinstance(default, list):
        if not isinstance(value, (list, tuple)) or len(value) != len(default):
            raise TypeError
        return [_coerced(item, default[0]) for item in value]
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise TypeError
    return value


def _parsed(text: str):
    """A scalar or list from text; YAML 1.1 alone would read ``1e-3`` as a string."""
    try:
        return float(text) if "e" in text.lower() and "," not in text else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _describe(default) -> str:
    if isinstance(default, list):
        return f"a list of {len(default)} values like {default}"
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return kinds.get(type(default), "a YAML value")


def _describe_bounds(option: Option) -> str:
    if option.high < math.inf:
        return f"{option.low:g} to {option.high:g}"
    return f"at least {option.low:g}, finite" if option.low > -math.inf else "finite numbers"


def _near(name: str, known: list[str]) -> str:
    """A hint at the nearest known name, or nothing where none is near."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def _near_key(key: str) -> str:
    """A hint at the nearest key; the group alone, which all its keys share, makes none near."""
    group, _, name = key.upper().rpartition(".")
    for start in (f"{group}.", ""):
        names = {other.rpartition(".")[2]: other for other in BY_KEY if other.startswith(start)}
        near = nearest(name, names)
        if near:
            return f"; did you mean {names[near]!r}?"
    return ""
