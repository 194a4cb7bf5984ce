"""The script that ``video-rs completion bash`` prints, asked as bash asks it."""

import shutil
import subprocess

import pytest

from video_rs.commands.main import run_named
from video_rs.commands.table import COMMANDS, GROUPS

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="no bash")

ASK = """
source "$1"; shift
COMP_WORDS=(video-rs "$@"); COMP_CWORD=$#
$(complete -p video-rs | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "video-rs"
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lines.append)
        run_named("video-rs", ["completion", "bash"])
    path.write_text("\n".join(lines))
    return path


def completed(script, *words):
    """What bash offers for the last of the words."""
    asked = subprocess.run(
        ["bash", "-c", ASK, "bash", str(script), *words], capture_output=True, text=True, cwd=script.parent
    )
    assert asked.stderr == ""
    return sorted(asked.stdout.split())


def test_commands_are_completed(script):
    own = {command.name for command in COMMANDS if " " not in command.name}
    assert set(completed(script, "")) >= own | set(GROUPS)
    assert completed(script, "tra") == ["train", "transfer_study"]
    assert completed(script, "list", "ki") == ["kinetics"]


def test_options_choices_keys_and_files_are_completed(script):
    assert completed(script, "predict", "--dev") == ["--device"]
    assert completed(script, "predict", "--device", "m") == ["mps"]
    assert completed(script, "train", "--cfg", "mine.yaml", "SOLVER.MAX") == ["SOLVER.MAX_EPOCH", "SOLVER.MAX_STEPS"]
    assert completed(script, "test", "--checkpoint", "video") == ["video-rs"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_of_their_own(shell, capsys):
    run_named("video-rs", ["completion", shell])
    assert {"zsh": "#compdef video-rs", "tcsh": "complete video-rs"}[shell] in capsys.readouterr().out
