"""The wheel, built from a copy of the tree, unpacked, and used from a folder that is not the checkout."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import video_rs
from helpers.runs import TINY

ROOT = Path(__file__).parents[2]
# What makes the demo's run one of seconds.
SHORT = [word for key, value in {**TINY, "SOLVER.MAX_STEPS": "2"}.items() for word in (key, value)]


def tree_files():
    """Files that git has or would take, so that nothing built or downloaded gets into the copy."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("needs a git checkout")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_tree(copy):
    for name in tree_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Path of the wheel."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    copy_tree(copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"]
    built = subprocess.run([*command, "--outdir", str(out), str(copy)], capture_output=True, text=True, timeout=100)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return HeaderParser().parsestr(archive.read(name).decode())


def test_the_wheel_installs_one_top_level_package(names):
    information = f"video_rs-{video_rs.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"video_rs", information}
    assert any(name.startswith(information) and name.endswith("LICENSE") for name in names)


def test_the_wheel_holds_every_module_config_and_template(names):
    tracked = [Path(name) for name in tree_files()]
    modules = {str(path) for path in tracked if path.parts[0] == "video_rs" and path.suffix in (".py", ".j2", ".csv")}
    configs = {f"video_rs/{path}" for path in tracked if path.parts[0] == "configs" and path.suffix == ".yaml"}
    assert {
        "video_rs/configs/kinetics_rs.yaml",
        "video_rs/reports/report.html.j2",
        "video_rs/reports/check.html.j2",
        "video_rs/studies/frontier/published.csv",
    } <= modules | configs
    assert {name for name in names if ".dist-info/" not in name} == modules | configs


def test_configs_are_found_from_an_unpacked_wheel(wheel, tmp_path):
    installed, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    # Beside the package, as another distribution might put it there.
    (installed / "configs").mkdir()
    (installed / "configs" / "foreign.yaml").write_text("")
    code = (
        "import video_rs\n"
        "from video_rs.config import find_config, load_config\n"
        "print(video_rs.__file__, find_config('kinetics_rs'), load_config('kinetics_rs.yaml').SOLVER.BASE_LR)\n"
        "print(find_config('finetune/image_weights.yaml'))\n"
        "try: find_config('foreign')\n"
        "except ValueError as error: print(str(error).split(':')[0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=100)
    package = installed / "video_rs"
    expected = f"{package / '__init__.py'} {package / 'configs' / 'kinetics_rs.yaml'} 0.8\n"
    expected += f"{package / 'configs' / 'finetune' / 'image_weights.yaml'}\nno config 'foreign'\n"
    assert answer.stdout == expected, answer.stderr


def test_an_editable_install_finds_the_package_from_the_folder_above_the_clone(tmp_path):
    """A clone is called video_rs too: Python started above it must not take the folder for the package."""
    clone, site = tmp_path / "video_rs", tmp_path / "site"
    copy_tree(clone)
    build = "import sys, setuptools.build_meta as b; print(b.build_editable(sys.argv[1]))"
    built = subprocess.run([sys.executable, "-c", build, str(site)], cwd=clone, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(site / built.stdout.split()[-1]) as archive:
        archive.extractall(site)
    # What pip does with it; without the site-packages of this Python, which have an install of their own.
    code = (
        "import importlib.util as i, site, sys; sys.path.insert(0, ''); site.addsitedir('site')\n"
        "print(i.find_spec('video_rs').origin)"
    )
    found = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == str(clone / "video_rs" / "__init__.py"), found.stderr


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder that holds the wheel, installed without what it depends on, and its command in ``bin``."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(site), str(wheel)], check=True, timeout=100)
    return site


@pytest.fixture
def call(installed, tmp_path):
    """``call("train", ...)`` runs the installed ``video-rs`` in a folder that is not the checkout."""
    # The dependencies are those of this Python; its own video_rs comes after the installed one.
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}

    def run(*arguments):
        command = [str(installed / "bin" / "video-rs"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)

    return run


def demo_commands():
    """The commands of ``make demo``, each as its words."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1].replace("$(DEMO)", "runs/motion_demo")
    return [line.split()[1:] for line in recipe.splitlines() if line.startswith("\t$(BIN)/video-rs ")]


def test_the_installed_command_does_what_make_demo_does(call, installed, tmp_path):
    made = call("list", "motion_demo", "--train-clips", "16", "--val-clips", "16")
    assert made.stdout == "motion demo: 32 clips, listed in data/motion_demo/motion_demo.csv\n", made.stderr
    train, test, predict = demo_commands()
    assert (train[0], test[0], predict[0]) == ("train", "test", "predict")

    listed = str(tmp_path / "data" / "motion_demo" / "motion_demo.csv")
    short = [*SHORT, "DATA.TRAIN_LIST", listed, "DATA.VAL_LIST", listed]
    done = call(*train, *short)
    assert done.returncode == 0, done.stderr
    # The code that ran was the installed one.
    code = "import video_rs; print(video_rs.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(installed / "video_rs" / "__init__.py")

    done = call(*test)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "motion_demo" / "test" / "report.html").exists()
    done = call(*predict)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + 5


def test_the_installed_command_prints_models_and_completion(call):
    assert call("--version").stdout == f"{video_rs.__version__}\n"
    assert call("completion", "bash").stdout.startswith("# AUTOMATICALLY GENERATED")
    refused = call("pretrain")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_metadata_states_name_version_and_pythons(metadata):
    assert (metadata["Name"], metadata["Version"]) == ("video_rs", video_rs.__version__)
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(">=3.11,<3.14")
    assert (metadata["License-Expression"] or metadata["License"]) == "Apache-2.0"


def requirements(metadata, extra=""):
    """``{name: requirement}`` of the packages that are installed for an extra alone."""
    listed = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    if not extra:
        return {r.name: r for r in listed if r.marker is None or "extra" not in str(r.marker)}
    return {r.name: r for r in listed if r.marker and f'extra == "{extra}"' in str(r.marker)}


def test_metadata_states_what_is_needed(metadata):
    assert {"torch", "torchvision", "pytorchvideo", "decord", "av", "fvcore", "iopath"} <= set(requirements(metadata))
    assert set(metadata.get_all("Provides-Extra")) == {
        "accelerate",
        "demo",
        "dev",
        "docs",
        "export",
        "hub",
        "images",
        "onnxruntime",
        "quantize",
        "ray",
        "shards",
        "teachers",
        "tensorflow",
        "torchcodec",
    }
    assert set(requirements(metadata, "torchcodec")) == {"torchcodec"}
    assert set(requirements(metadata, "images")) == {"timm", "safetensors"}
    assert set(requirements(metadata, "accelerate")) == {"openvino", "onnxruntime", "onnx", "onnxscript"}
    assert set(requirements(metadata, "quantize")) == {"nncf", "openvino"}
    assert set(requirements(metadata, "export")) == {"onnx", "onnxscript", "onnxruntime"}
    assert set(requirements(metadata, "hub")) == {"huggingface_hub", "safetensors"}
    assert set(requirements(metadata, "teachers")) == {"transformers", "huggingface_hub", "safetensors"}
    assert set(requirements(metadata, "onnxruntime")) == {"onnxruntime"}
    assert set(requirements(metadata, "tensorflow")) == {"tensorflow"}
    assert {"pytest", "pytest-xdist", "ruff", "build", "timm"} <= set(requirements(metadata, "dev"))


@pytest.mark.parametrize(
    ("system", "machine", "wanted"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", False),
        ("win32", "AMD64", True),
        ("darwin", "arm64", False),
        ("darwin", "x86_64", False),
    ],
)
def test_decord_is_asked_for_only_where_it_has_wheels(metadata, system, machine, wanted):
    marker = Marker(str(requirements(metadata)["decord"].marker))
    assert marker.evaluate({"sys_platform": system, "platform_machine": machine}) is wanted


def test_no_module_imports_what_the_wheel_leaves_behind(names):
    for name in names:
        if name.endswith(".py"):
            nodes = list(ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))))
            imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
            imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
            assert not {"tools", "tests", "datasets"} & {module.split(".")[0] for module in imported}, name
