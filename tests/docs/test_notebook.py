# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The notebook of the docs, run cell by cell at the size `tiny` on eight devices."""

import os
import re
import tomllib
import zipfile

import nbclient
import nbformat
import pytest
from nbclient import exceptions
from nbformat import v4

from lingshu_jax.common import metrics
from tests.docs import commands

pytestmark = pytest.mark.docs

NOTEBOOK = commands.REPO / "docs" / "notebooks" / "lora_3b_v5e8.ipynb"
INSTALL = "install"
CELL_SECONDS = 900


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def run(notebook, folder):
    """Runs all cells but the installation in a kernel of this environment."""
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        skip_cells_with_tag=INSTALL,
        resources={"metadata": {"path": str(folder)}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / ".jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / ".ipython"))
        patch.setenv("LINGSHU_NOTEBOOK_SIZE", "tiny")
        patch.setenv("PYTHONPATH", str(commands.REPO))
        client.execute(env=dict(os.environ))
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def not_run(notebook):
    """The tags of the cells that were left out."""
    left = [cell for cell in code_cells(notebook) if cell.execution_count is None]
    return [cell.metadata.get("tags", []) for cell in left]


def tagged(notebook, tag):
    (cell,) = [cell for cell in code_cells(notebook) if tag in cell.metadata.get("tags", [])]
    return cell


def pictures(cell):
    return [out for out in cell.outputs if "image/png" in out.get("data", {})]


def printed(cell):
    return "".join(out.text for out in cell.outputs if out.get("name") == "stdout")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def ran(folder):
    return run(read(), folder)


def test_all_cells_but_the_installation_were_run(ran):
    assert not_run(ran) == [[INSTALL]]


def test_eight_devices_trained_and_losses_were_plotted(ran, folder):
    assert "fsdp 8" in printed(tagged(ran, "look"))
    rows = metrics.read_rows(folder / "lingshu" / "run")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 4 and losses[-1] < losses[0]
    assert len(pictures(tagged(ran, "curves"))) == 1
    assert len(pictures(tagged(ran, "pictures"))) == 1


def test_the_trained_model_answered(ran):
    name, question, answer = printed(tagged(ran, "answer")).split("\n", 2)
    assert name.endswith(".dcm") and question.endswith("?")
    assert answer.strip()


def test_the_model_and_its_adapters_are_there(ran, folder):
    assert (folder / "lingshu" / "model" / "config.json").is_file()
    assert [*(folder / "lingshu" / "model").glob("*.safetensors")]
    with zipfile.ZipFile(folder / "lingshu_adapter.zip") as packed:
        assert {"adapter_config.json", "adapter_model.safetensors"} <= {*packed.namelist()}
    assert "MiB" in printed(tagged(ran, "export"))


def test_a_cell_that_fails_would_be_found(tmp_path):
    cells = [v4.new_code_cell("1 / 0", metadata={"tags": [INSTALL]}), v4.new_code_cell("lingshu")]
    broken = v4.new_notebook(cells=cells)
    with pytest.raises(exceptions.CellExecutionError, match="lingshu"):
        run(broken, tmp_path)
    assert not_run(broken) == [[INSTALL]]


def test_what_is_installed_exists():
    source = tagged(read(), INSTALL).source
    (extras,) = re.findall(r"\[([\w,]+)\]", source)
    project = tomllib.loads((commands.REPO / "pyproject.toml").read_text())["project"]
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}
    (constraints,) = re.findall(r"-c source/(\S+)", source)
    assert (commands.REPO / constraints).is_file()


def test_no_output_is_stored():
    cells = code_cells(read())
    assert len(cells) > 8
    assert all(cell.execution_count is None and not cell.outputs for cell in cells)
