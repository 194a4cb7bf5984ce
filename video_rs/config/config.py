"""A configuration: the values of all options, frozen."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import yaml


class Group(Mapping[str, Any]):
    """The options of one group, frozen: ``config.SOLVER.BASE_LR`` or ``config["SOLVER"]["BASE_LR"]``."""

    def __init__(self, values: Mapping[str, Any]):
        # Past our own __setattr__, which refuses everything from here on.
        object.__setattr__(self, "_values", dict(values))

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        # Copying and pickling ask for special methods before there are any values.
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no option or group {name}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a configuration is frozen; load_config with overrides makes another")

    __delattr__ = __setattr__

    def __reduce__(self):
        return type(self), (self._values,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values!r})"


class Config(Group):
    """Values of all options by their full keys: ``Config({"SOLVER.BASE_LR": 0.8, ...}).SOLVER.BASE_LR``.

    A value of several numbers is a tuple.
    """

    def __init__(self, values: Mapping[str, Any]):
        flat_values = {key: _frozen(value) for key, value in values.items()}
        tree = _nested(flat_values)
        super().__init__({name: Group(value) if isinstance(value, dict) else value for name, value in tree.items()})
        object.__setattr__(self, "_flat", flat_values)

    def flat(self) -> dict[str, Any]:
        """Return ``{full key: value}`` in the order of the options; several numbers are a list, as in YAML."""
        return {key: _plain(value) for key, value in self._flat.items()}

    def dump(self) -> str:
        """Return the configuration as YAML, groups and keys in alphabetical order."""
        return yaml.safe_dump(_nested(self.flat()))

    def __reduce__(self):
        return type(self), (self._flat,)


def _frozen(value: Any) -> Any:
    """Return a value with tuples in the place of lists."""
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    return value


def _plain(value: Any) -> Any:
    """Return a value with lists in the place of tuples."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"SOLVER": {"BASE_LR": 0.8}}`` for ``{"SOLVER.BASE_LR": 0.8}``; a key has one dot at most."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        if group:
            tree.setdefault(group, {})[name] = value
        else:
            tree[name] = value
    return tree


def absolute_paths(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    """Return the values of some keys that name files or folders as absolute paths; empty ones and URLs are left out."""
    return {key: os.path.abspath(values[key]) for key in keys if values[key] and "://" not in values[key]}
