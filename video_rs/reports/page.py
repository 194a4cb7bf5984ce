"""What all pages share: one style, pictures inside the file, nothing fetched from anywhere."""

import base64
from collections.abc import Callable
from typing import Any

import jinja2


def template(name: str, **filters: Callable[[Any], str]) -> jinja2.Template:
    """Return a template of this folder, with filters of its own."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("video_rs", "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def data_uri(png: bytes) -> str:
    """Return a PNG as a URI that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
