# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Doctors review rows in the browser: `python -m data_tools.review --data=DIR`.

    python -m data_tools.review --data=DIR                 prints the address of the page
    python -m data_tools.review --data=DIR --export=OUT    writes what was decided (export.py)

DIR is what `data_tools.synthesize` wrote, a folder of `.jsonl` files of format `messages`, or one
such file. Decisions go to `--decisions`, DIR/decisions without it. Keys, files and rules:
docs/review.md.
"""

import contextlib
import socket
from pathlib import Path

from absl import flags

from data_tools.reviewing import decisions, export, items
from lingshu_jax.common import cli, errors, paths, web_address


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("data", None, "Folder of a synthesis, folder of .jsonl files, or one file.")
    flags.DEFINE_string("decisions", None, "Folder of decisions; default: 'decisions' beside it.")
    flags.DEFINE_string("image_root", None, "Where paths of pictures start; default: their file.")
    flags.DEFINE_integer("overlap", 0, "How many reviewers get each item; 0 is all of them.")
    flags.DEFINE_string("export", None, "Writes what was decided into this new folder; no page.")
    web_address.define_flags()


def main(argv: list[str]) -> None:
    """Serves the page, or exports, as the flags say."""
    del argv
    source = _local("data", cli.required("data"))
    folder = _local("decisions", cli.flag("decisions") or str(_beside(source)))
    overlap = cli.flag("overlap")
    if overlap < 0:
        raise errors.UserError(f"--overlap must be >= 0, got {overlap}")
    root = cli.flag("image_root")
    data = items.read(source, _local("image_root", root) if root else None)
    for reason, count in data.refused.items():
        print(f"{count} rows are not reviewed: {reason}")
    if cli.flag("export"):
        _export(data, folder, _local("export", cli.flag("export")))
    else:
        _serve(data, folder, overlap)


def _export(data: items.Data, folder: Path, output: Path) -> None:
    summary = export.run(data, folder, output)
    kept = sum(summary["reviewed"].values())
    pairs = sum(summary["preferences"].values())
    print(f"{output}: {kept} of {summary['rows']} rows, {pairs} preferences")
    for reason, count in summary["left_out"].items():
        print(f"left out, {reason}: {count}")


def _serve(data: items.Data, folder: Path, overlap: int) -> None:
    from lingshu_jax.common import web  # first: it says which extra is missing

    address = web_address.from_flags()
    address.validate()
    from data_tools.reviewing import app

    store = decisions.Store(folder)
    with contextlib.closing(store):
        port = address.port or _port(address.host, store.private.get("port", 0))
        # The same address after a restart: a page that is still open goes on and sends what waits.
        token = store.private.get("token") or web.new_token()
        decisions.keep_private(folder, {**store.private, "port": port, "token": token})
        review = app.Review(data, store, overlap)
        served = web.make_app(app.routes(review), token=token, is_open=not address.is_loopback)
        tasks = [item.task for item in data.items.values()]
        counts = ", ".join(f"{tasks.count(task)} to {task}" for task in items.TASKS)
        print(f"{counts}; decisions go to {folder}")
        web.serve(served, address._replace(port=port), token=token, title="review")


def _port(host: str, before: int) -> int:
    """The port of last time, a free one if there is none or somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (before, 0):
        try:
            with socket.create_server((host, port), family=family) as listener:
                return listener.getsockname()[1]
        except OSError:
            if port:
                print(f"port {port} of last time is taken: open the new address")
    return 0


def _beside(source: Path) -> Path:
    """Where decisions go that nobody named a place for."""
    return source / "decisions" if source.is_dir() else source.with_suffix(".decisions")


def _local(name: str, text: str) -> Path:
    if paths.is_remote(text):
        raise errors.UserError(f"--{name} must be on this machine, got {text}")
    return Path(text).absolute()


if __name__ == "__main__":
    cli.run(main, define_flags)
