"""Packaging. Each dependency is named with its reason in the commit that added it."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+?)"', (ROOT / "video_rs" / "runtime" / "version.py").read_text(encoding="utf-8")
).group(1)

# decord has wheels for x86-64 Linux and Windows and for old macOS only, and is optional at run time.
DECORD = 'decord>=0.6; platform_machine == "x86_64" and sys_platform == "linux" or sys_platform == "win32"'

# A checkout finds configs/ where it is. Without that package, and with one root for all, setuptools makes an editable
# install a path in a .pth file; a finder would come after a folder called video_rs in the working directory: the clone.
CONFIGS = {} if "editable_wheel" in sys.argv else {"video_rs.configs": "configs"}

setup(
    name="video_rs",
    version=VERSION,
    description="3D ResNet-RS for video classification: networks, recipe, training, testing and prediction",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    # find_packages must see video_rs only, or tools, tests and datasets would be installed at top level.
    packages=[*find_packages(include=["video_rs", "video_rs.*"]), *CONFIGS],
    package_dir={"": ".", **CONFIGS},
    package_data={"video_rs": ["**/*.j2", "**/*.csv"], "video_rs.configs": ["**/*.yaml"]},
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "pytorchvideo>=0.1.5",
        DECORD,
        # From 19 on, times in PyAV are of another type; what reads and writes them here is not tested with that yet.
        "av>=17,<19",
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.9",
        "numpy",
        # Reading processes with a time limit for each video, replaced one by one.
        "pebble>=5.2",
        # Predictions and features are Parquet files.
        "pyarrow>=17",
        # Animated WebP; torchvision brings it, too.
        "pillow",
        # Which cores, processes and memory there are, on every system.
        "psutil>=5.9",
        "pyyaml",
        # Precision, recall and average precision of predictions.
        "scikit-learn>=1.4",
        # Student's interval, and the fits of the scaling study.
        "scipy>=1.11",
        "tensorboard",
        "tqdm",
        "matplotlib",
        "jinja2",
        # Completion of the command line in bash, zsh and tcsh.
        "shtab>=1.6",
    ],
    entry_points={"console_scripts": ["video-rs = video_rs.__main__:main"]},
    extras_require={
        "torchcodec": ["torchcodec>=0.7"],
        # Weights of image networks; safetensors reads the files that timm's hub serves.
        "images": ["timm>=1.0.9", "safetensors"],
        # Engines of video_rs.inference.accelerate; torch.onnx.export needs onnx and onnxscript.
        "accelerate": ["openvino>=2025.0", "onnxruntime>=1.20", "onnx>=1.17", "onnxscript>=0.3"],
        # For precision int8: NNCF quantises graphs of OpenVINO. All it needs but ninja and pydot is here anyway.
        "quantize": ["nncf>=3", "openvino>=2025.0"],
        # For video-rs export to ONNX; a file is read back before it is kept.
        "export": ["onnx>=1.17", "onnxscript>=0.3", "onnxruntime>=1.20"],
        # For video-rs predict --model model.onnx.
        "onnxruntime": ["onnxruntime>=1.20"],
        # For .safetensors files, and VideoClassifier.from_pretrained by the name of a repository.
        "hub": ["huggingface_hub>=0.25", "safetensors>=0.4"],
        # For teachers from the Hugging Face hub; from 5 on processors scale tensors by a function of their own.
        "teachers": ["transformers>=5,<6", "huggingface_hub>=0.25", "safetensors>=0.4"],
        # For demo_app only, whose gate knows what this Gradio serves. FastAPI and uvicorn come with it.
        "demo": ["gradio>=6.31,<7", "fastapi", "uvicorn"],
        # For studies and pseudo-labels on a cluster of Ray only.
        "ray": ["ray>=2.30"],
        # For pack_shards only: shards are read without it.
        "shards": ["webdataset>=0.2.86"],
        # For convert_weights --source model_garden only: tensorboard would import it in every training run.
        "tensorflow": ["tensorflow>=2.16"],
        # The pages as a site; mkdocstrings makes the reference from docstrings.
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
        "dev": [
            # With 9.2 pytest-xdist 3.8 knows no groups of tests and says nothing (pytest-xdist issue 1386).
            "pytest>=8,<9.2",
            "pytest-xdist>=3.6",
            "ruff",
            "pre-commit",
            "build",
            "setuptools>=70.1",
            "timm>=1.0.9",
            "webdataset",
            # Drives the system's chromium, where there is one, in tests of pages.
            "playwright>=1.50",
        ],
    },
)
