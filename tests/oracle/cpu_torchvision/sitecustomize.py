# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Lets PyPI's torchvision be imported beside a CPU build of torch, where its library cannot load.

Its import asks for two operators. What is tested here uses none, so they are declared without a
body. Python runs this file when it starts, if its folder is on PYTHONPATH.
"""

import importlib.util
import pathlib

import torch


def declare() -> None:
    """Declares the operators, unless torchvision is missing or brings them."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return
    try:
        torch.ops.load_library(pathlib.Path(found.origin).with_name("_C.so"))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)  # what it has declared ends with it


_kept: list[torch.library.Library] = []
declare()
