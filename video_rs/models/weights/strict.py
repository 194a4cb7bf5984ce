"""Strict loading: every name and shape must agree, both sides are listed, and the one exception is said."""

import logging
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from video_rs.models.architecture import STAGES
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, first_names

State = Mapping[str, Tensor]
LISTED = 4
CLASSIFIER = "fc."


def load_strictly(module: nn.Module, state: State, source: str) -> None:
    """Copies ``state`` into ``module``.

    Raises:
        InputError: a weight is missing, unknown or of another shape; the line lists some of each.
    """
    require_fit(state, {name: list(value.shape) for name, value in module.state_dict().items()}, source)
    module.load_state_dict(state)


def require_fit(state: State, shapes: Mapping[str, list[int]], source: str) -> None:
    """Raises InputError, listing both sides, unless ``state`` has exactly the names and shapes of ``shapes``."""
    missing = [name for name in shapes if name not in state]
    unknown = [name for name in state if name not in shapes]
    given = {name: list(value.shape) for name, value in state.items() if name in shapes}
    wrong = [f"{name}: {shape} there, {shapes[name]} here" for name, shape in given.items() if shape != shapes[name]]
    kinds = (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
    problems = [listed(kind, entries) for kind, entries in kinds if entries]
    if problems:
        raise InputError(
            f"weights in {source} do not fit the model: {'; '.join(problems)}; build the model that they were made for"
        )


def listed(kind: str, entries: Sequence[str]) -> str:
    """``5 unknown (first, second, third, fourth and 1 more)``; nothing for no entries."""
    rest = len(entries) - LISTED
    some = ", ".join(entries[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
    return f"{len(entries)} {kind} ({some})" if entries else ""


def names_left_out(stages: Sequence[str]) -> tuple[str, ...]:
    """How the names of a classifier's weights start that a backbone of ``stages`` has no place for."""
    return (CLASSIFIER, *(f"backbone.{name}." for name in STAGES if name not in stages))


def keep_classifier(state: State, module: nn.Module) -> dict[str, Tensor]:
    """``state`` with ``module``'s own classifier in place of the one it has."""
    return {**state, **{name: value for name, value in module.state_dict().items() if name.startswith(CLASSIFIER)}}


def keep_classifier_of_other_classes(state: State, module: nn.Module, source: str) -> tuple[State, str]:
    """``state``, but for a classifier of another number of classes: then ``module``'s own stays.

    A classifier that differs in anything else is left for :func:`require_fit` to refuse. Also returns what to
    :func:`warn` of when all else has been loaded; empty where nothing stays.
    """
    given, own = (_classifier_shapes(values) for values in (state, module.state_dict()))
    if given is None or own is None or given[0] == own[0] or given[1] != own[1]:
        return state, ""
    kept = f"the classifier (fc) in {source} has {given[0]} classes, the model {own[0]}"
    return keep_classifier(state, module), f"{kept}: it starts afresh, all other weights are loaded"


def classifier_by_name(
    state: State, module: nn.Module, theirs: Sequence[str], ours: Sequence[str]
) -> tuple[dict[str, Tensor], str]:
    """Return ``state`` with the classifier of our classes, and what became of it, in words.

    A class that both sides have by name keeps its weights, whatever its place; others have ``module``'s own. Numbers
    are no names: 3 is another class in each data set. "" in place of words: the classes are the same.

    Args:
        state: whose classifier is for the classes ``theirs``.
        module: with a classifier for the classes ``ours``.
        theirs, ours: names of classes, in their order.
    """
    here, there = (list(map(canonical, names)) for names in (ours, theirs))
    if here == there:
        return dict(state), ""

    places = {name: place for place, name in enumerate(there) if not name.isdecimal()}
    known = [place for place, name in enumerate(here) if name in places]
    adapted = keep_classifier(state, module)
    for name in ("fc.weight", "fc.bias"):
        values = adapted[name].detach().cpu().clone()
        for place in known:
            values[place] = state[name][places[here[place]]]
        adapted[name] = values

    if not known:
        return adapted, "other classes, so the classifier starts afresh"
    if len(known) == len(here):
        return adapted, "the classes stand in another order there: the classifier is taken over by their names"
    fresh = [repr(name) for name in here if name not in places]
    taken = f"{len(known)} of {len(here)} classes are taken over by their names"
    return adapted, f"other classes: {taken}, and start afresh: {first_names(fresh)}"


def warn(note: str) -> None:
    """Logs a warning, if there is one."""
    if note:
        logging.getLogger(__name__).warning("%s", note)


def _classifier_shapes(state: State) -> tuple[int, int] | None:
    """(classes, features) of a whole linear classifier, or None."""
    weight, bias = state.get("fc.weight"), state.get("fc.bias")
    if weight is None or bias is None or weight.dim() != 2 or bias.shape != weight.shape[:1]:
        return None
    return weight.shape[0], weight.shape[1]
