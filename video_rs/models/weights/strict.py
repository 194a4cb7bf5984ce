"""Strict loading: every name and shape must agree, both sides are listed, and the one exception is said."""

import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from video_rs.models.architecture import STAGES
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, first_names

State = Mapping[str, Tensor]
LISTED = 4
CLASSIFIER = "fc."
# How the names of what a pre-training run has in its place begin.
PROJECTION = "projection."


def load_strictly(module: nn.Module, state: State, source: str, name_there: Callable[[str], str] = str) -> None:
    """Copy ``state`` into ``module``; a module on the device "meta", which has no weights yet, takes its tensors.

    Args:
        module: takes the weights.
        state: names of ``module`` and tensors.
        source: where the weights are from, for messages.
        name_there: what a weight of ``module`` is called in the source, for messages.

    Raises:
        InputError: a weight is missing, unknown or of another shape, and the line lists some of each; or one is no
            finite number.
    """
    shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
    require_fit(state, shapes, source, name_there)
    is_empty = any(value.is_meta for value in module.state_dict().values())
    module.load_state_dict(state, assign=is_empty)
    _require_finite(module, source, name_there)


def _require_finite(module: nn.Module, source: str, name_there: Callable[[str], str]) -> None:
    """Raise InputError where weights are no numbers, with which every answer would be none."""
    for name, weights in module.state_dict().items():
        # The sum is finite where all weights are, and no copy of them is made; that of half precision would overflow.
        if weights.is_floating_point() and not torch.isfinite(weights.sum(dtype=torch.float64)):
            raise InputError(
                f"weights in {source} are no finite numbers (first: {name_there(name)}): the training diverged; take "
                "an earlier checkpoint, or train anew with a lower SOLVER.BASE_LR"
            )


def require_fit(
    state: State, shapes: Mapping[str, list[int]], source: str, name_there: Callable[[str], str] = str
) -> None:
    """Raise InputError, listing both sides, unless ``state`` has exactly the names and shapes of ``shapes``."""
    missing = [name_there(name) for name in shapes if name not in state]
    unknown = [name for name in state if name not in shapes]
    misshapen = []
    for name, value in state.items():
        shape = list(value.shape)
        if name in shapes and shape != shapes[name]:
            misshapen.append(f"{name_there(name)}: {shape} there, {shapes[name]} here")

    # Both sides, as one alone seldom says what went wrong.
    kinds = {"missing": missing, "unknown": unknown, "of another shape": misshapen}
    problems = [listed(kind, entries) for kind, entries in kinds.items() if entries]
    if problems:
        raise InputError(
            f"weights in {source} do not fit the model: {'; '.join(problems)}; build the model that they were made for"
        )


def listed(kind: str, entries: Sequence[str]) -> str:
    """Return ``5 unknown (first, second, third, fourth and 1 more)``, or "" where there are no entries."""
    if not entries:
        return ""
    shown = ", ".join(entries[:LISTED])
    if len(entries) > LISTED:
        shown += f" and {len(entries) - LISTED} more"
    return f"{len(entries)} {kind} ({shown})"


def names_left_out(stages: Sequence[str]) -> tuple[str, ...]:
    """Return how the names of a classifier's weights start that a backbone of ``stages`` has no place for."""
    unbuilt = [f"backbone.{name}." for name in STAGES if name not in stages]
    return (CLASSIFIER, *unbuilt)


def keep_classifier(state: State, module: nn.Module) -> dict[str, Tensor]:
    """Return ``state`` with ``module``'s own classifier in place of the one it has."""
    own = {name: value for name, value in module.state_dict().items() if name.startswith(CLASSIFIER)}
    return {**state, **own}


def is_state_of_pretraining(state: State) -> bool:
    """Return whether weights are of a network with a projection head."""
    return any(name.startswith(PROJECTION) for name in state)


def without_projection(state: State, module: nn.Module) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a pre-training run with ``module``'s classifier in place of the projection head.

    Returns:
        The state dict, and a sentence on the classifier; "" where ``module`` has none.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(PROJECTION)}
    adapted = keep_classifier(kept, module)
    if len(adapted) == len(kept):
        return adapted, ""
    return adapted, "a pre-training run has no classifier, so that starts afresh"


def keep_classifier_of_other_classes(state: State, module: nn.Module, source: str) -> tuple[State, str]:
    """Return ``state``, in which ``module``'s own classifier stays where the numbers of classes differ.

    A classifier that differs in anything else is left for :func:`require_fit` to refuse.

    Returns:
        The state dict, and what to :func:`warn` of when all else has been loaded; "" where nothing stays.
    """
    given = _classifier_shape(state)
    own = _classifier_shape(module.state_dict())
    if given is None or own is None:
        return state, ""

    given_classes, given_features = given
    own_classes, own_features = own
    if given_classes == own_classes or given_features != own_features:
        return state, ""

    return (
        keep_classifier(state, module),
        f"the classifier (fc) in {source} has {given_classes} classes, the model {own_classes}: it starts afresh, all "
        "other weights are loaded",
    )


def classifier_by_name(
    state: State, module: nn.Module, names_there: Sequence[str], names_here: Sequence[str]
) -> tuple[dict[str, Tensor], str]:
    """Return ``state`` with the classifier of the module's classes, and what became of it, in words.

    A class that both sides have by name keeps its weights, whatever its place; others have ``module``'s own. Numbers
    are no names: 3 is another class in each data set.

    Args:
        state: whose classifier is for the classes ``names_there``.
        module: with a classifier for the classes ``names_here``.
        names_there, names_here: names of classes, in their order.

    Returns:
        The state dict, and a sentence; "" where the classes are the same.
    """
    there = [canonical(name) for name in names_there]
    here = [canonical(name) for name in names_here]
    if here == there:
        return dict(state), ""

    # Numbers are no names.
    places_there = {name: place for place, name in enumerate(there) if not name.isdecimal()}
    shared = [place for place, name in enumerate(here) if name in places_there]
    adapted = keep_classifier(state, module)
    for weight_name in ("fc.weight", "fc.bias"):
        values = adapted[weight_name].detach().cpu().clone()
        for place in shared:
            values[place] = state[weight_name][places_there[here[place]]]
        adapted[weight_name] = values

    if not shared:
        return adapted, "other classes, so the classifier starts afresh"
    if len(shared) == len(here):
        return adapted, "the classes stand in another order there: the classifier is taken over by their names"
    fresh = [repr(name) for name in here if name not in places_there]
    taken = f"{len(shared)} of {len(here)} classes are taken over by their names"
    return adapted, f"other classes: {taken}, and start afresh: {first_names(fresh)}"


def warn(note: str) -> None:
    """Log a warning, if there is one."""
    if note:
        logging.getLogger(__name__).warning("%s", note)


def _classifier_shape(state: State) -> tuple[int, int] | None:
    """Return (classes, features) of a whole linear classifier, or None."""
    weight = state.get("fc.weight")
    bias = state.get("fc.bias")
    if weight is None or bias is None or weight.dim() != 2 or bias.shape != weight.shape[:1]:
        return None
    return weight.shape[0], weight.shape[1]
