"""``import video_rs`` costs nothing, and its names load what they need with their first use."""

import subprocess
import sys

import pytest

import video_rs


def printed(code):
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import video_rs; video_rs.__version__; dir(video_rs)\n"
        "print(sorted(name for name in set(sys.modules) - before if name != 'video_rs'))"
    )
    # A line of text, and nothing that it would need.
    assert printed(code) == ["['video_rs.runtime', 'video_rs.runtime.version']"]


@pytest.mark.parametrize("name", ["create_model", "create_backbone", "list_models", "Predictor", "load_predictor"])
def test_a_name_loads_with_its_first_use(name):
    assert name in dir(video_rs)
    assert getattr(video_rs, name).__name__ == name


def test_networks_are_made_without_the_rooms_of_videos():
    code = (
        "import sys, video_rs; video_rs.list_models()\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('video_rs.')}; print(sorted(rooms))"
    )
    assert printed(code) == ["['models', 'runtime']"]


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match=r"module 'video_rs' has no attribute 'create_modle'"):
        video_rs.create_modle  # noqa: B018
