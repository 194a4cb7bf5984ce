"""Refusals name what the user has set: a config key, not the argument that it became."""

import contextlib
import re
from collections.abc import Iterator

from video_rs.runtime.errors import InputError


@contextlib.contextmanager
def named_by_keys(**keys: str) -> Iterator[None]:
    """Let an InputError from inside name config keys, such as ``crop_size="DATA.TRAIN_CROP_SIZE"``, not arguments."""
    try:
        yield
    except InputError as error:
        arguments = "|".join(keys)
        named = re.sub(rf"\b({arguments})\b", lambda argument: keys[argument[1]], str(error))
        raise InputError(named) from error
