# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Step time, MFU and goodput from 8 to 8,192 chips, predicted; writes docs/scaling.{md,svg}.

    PYTHONPATH=. python benchmarks/scaling.py [--table=FILE]

Nothing of it is measured: `lingshu_jax/aot/step_time.py` says what is computed. FILE is
that of `python -m lingshu_jax.aot.table`; where it holds stage 3 of a model on a chip, what is
counted by hand is scaled to what the program sends.
"""

import argparse
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib import figure, ticker

from benchmarks import scaling_model as model
from lingshu_jax.aot import published, step_time
from lingshu_jax.common import topologies

REPO = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT, PICTURE = REPO / "docs" / "scaling.md", REPO / "docs" / "scaling.svg"
TABLE = REPO / "docs" / "sharding_table.json"
BEGIN, END = "<!-- begin: benchmarks/scaling.py -->", "<!-- end: benchmarks/scaling.py -->"

# By model, chip, count, and whether the batch is the recipe's.
Points = Mapping[tuple[str, str, int, bool], model.Point | None]


def cell(one: model.Point | None) -> str:
    """Step time and MFU.

    Args:
      one: A prediction; None where no mesh is allowed.
    """
    if one is None:
        return "no mesh"
    if one.prediction is None:
        return "no memory"
    return f"{one.prediction.seconds:.3g} s, {100 * one.prediction.mfu:.0f} %"


def describe_mesh(one: model.Point | None) -> str:
    """Its axes of more than one device.

    Args:
      one: A prediction.
    """
    axes = one.mesh.items() if one else ()
    return " x ".join(f"{name} {n}" for name, n in axes if n > 1)


def table(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is its head.

    Args:
      lines: Cells.
    """
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], "|---" * len(lines[0]) + "|", *rows[1:]])


def recipe_table(name: str, points: Points) -> str:
    """The batch of the recipe.

    Args:
      name: Of the model.
      points: By model, chip, count, and whether the batch is the recipe's.
    """
    lines = [["chips", "mesh (v5e)", *model.CHIPS]]
    for count in model.COUNTS:
        found = [points[name, chip, count, True] for chip in model.CHIPS]
        if any(found):
            lines.append([f"{count:,}", describe_mesh(found[0]), *map(cell, found)])
    return table(lines)


def growing_table(name: str, points: Points) -> str:
    """One row a chip.

    Args:
      name: Of the model.
      points: As of `recipe_table`.
    """
    lines = [["chips", "rows", "slices v5e, v6e, v5p", *model.CHIPS, "goodput", "tokens/s, v5p"]]
    for count in model.COUNTS:
        found = [points[name, chip, count, False] for chip in model.CHIPS]
        last = found[-1]
        if count < model.RECIPE_ROWS or last is None or last.prediction is None:
            continue
        slices = ", ".join(str(one.topology.slices) for one in found if one)
        rate = last.rows * model.TOKENS * model.TOKENS_FULL / last.prediction.seconds * last.goodput
        goodputs = [one.goodput for one in found if one and one.prediction]
        lines.append(
            [
                *(f"{count:,}", f"{last.rows:,}", slices, *map(cell, found)),
                *(f"{100 * min(goodputs):.1f} %", f"{rate / 1e6:.3g}M"),
            ]
        )
    return table(lines)


def calibration_table() -> str:
    """Published speeds beside predicted ones."""
    head = ["model", "topology", "tokens x rows a device", "kept", "published", "predicted"]
    lines = [[*head, "error", ""]]
    for run in published.RUNS:
        lines.append(
            [
                *(run.model, run.topology, f"{run.tokens:,} x {run.rows}", run.remat),
                *(f"{published.published_rate(run):,.0f}", f"{published.predicted_rate(run):,.0f}"),
                *(f"{100 * published.error(run):+.1f} %", "fitted" if run.is_fitted else ""),
            ]
        )
    return table(lines)


def assumptions_table() -> str:
    """Everything that is assumed, each with its source."""
    constants = step_time.CONSTANTS
    lines = [["what", "value", "source"]]
    for name in model.CHIPS:
        chip = topologies.CHIPS[name]
        lines.append(
            [
                name,
                f"{chip.peak_flops / 1e12:.0f} TFLOP/s, {chip.hbm_bytes / 2**30:.0f} GiB at "
                f"{chip.hbm_bandwidth / 1e9:,.0f} GB/s, {chip.links} links of "
                f"{chip.link_bandwidth / 1e9:.0f} GB/s each way, "
                f"{chip.network_bandwidth / 1e9:.3g} GB/s between slices",
                "`common/topologies.py`: cloud.google.com/tpu/docs, the Scaling Book",
            ]
        )
    fitted = "fitted, table above"
    lines += [
        ["peak reached by products", f"{constants.product:.3f}", fitted],
        ["the same by attention", f"{constants.attention:.3f}, times the fill of the unit", fitted],
        ["weights' collectives not hidden", f"{constants.exposed:.3f}", fitted],
        ["elementwise traffic not hidden", f"{constants.elementwise}", "set; 0 to 1 fit alike"],
        [
            "a row",
            f"{model.TOKENS:,} tokens, {model.PATCHES:,} patches",
            "configs/stage3_instruct.py",
        ],
        [
            "of which full",
            f"{100 * model.TOKENS_FULL:.1f} % and {100 * model.PATCHES_FULL:.0f} %",
            "`benchmarks/packing_fill.py`",
        ],
        [
            "sequences and images a row",
            f"{model.SEQUENCES} and {model.SEQUENCES}",
            "assumed",
        ],
        ["remat", model.REMAT, "configs/stage3_instruct.py"],
        ["rows a device and pass", "1", "memory"],
        [
            "failures",
            f"one in {model.MTBF / 3600:,.0f} hours and chip",
            "419 in 54 days on 16,384 GPUs (arXiv 2407.21783, 3.3.4); none is published for TPUs",
        ],
        ["after a failure", f"{model.RESTART:.0f} s until the run goes on", "assumed"],
        [
            "a checkpoint",
            f"{model.STATE_BYTES} bytes a weight to the host at {model.COPY / 1e9:.0f} GB/s a "
            f"chip + {model.COMMIT:.0f} s; written meanwhile",
            "assumed",
        ],
        [
            "between checkpoints",
            f"Young's interval, at most {model.LONGEST / 60:.0f} minutes",
            "below",
        ],
    ]
    return table(lines)


def document(points: Points, compiled: str) -> str:
    """What stands between the markers of docs/scaling.md.

    Args:
      points: From `all_points`.
      compiled: Which collectives are a compiled program's, in words.
    """
    others = sorted(abs(published.error(run)) for run in published.RUNS if not run.is_fitted)
    most = max(model.COUNTS)
    shares = [model.goodput(most, model.COMMIT, mtbf=n * model.MTBF) for n in (0.5, 1, 2)]
    sensitivity = ", ".join(f"{100 * share:.1f} %" for share in shares)
    parts = [
        "## Predicted beside published",
        f"{len(published.RUNS) - len(others)} runs are fitted on, {len(others)} held out: median "
        f"error of the latter {100 * others[len(others) // 2]:.1f} %, worst "
        f"{100 * others[-1]:.0f} %. Speeds are tokens a second and chip.",
        calibration_table(),
        "## Assumptions",
        assumptions_table(),
        f"Collectives are {compiled}.",
        "With half, one and two times the hours between failures, the goodput of "
        f"{most:,} chips is {sensitivity}.",
    ]
    for name in model.MODELS:
        parts += [
            f"## {name.upper()}, stage 3, the recipe's batch of {model.RECIPE_ROWS} rows",
            recipe_table(name, points),
            f"## {name.upper()}, stage 3, one row a chip",
            growing_table(name, points),
        ]
    return "\n\n".join(parts)


def draw(points: Points, path: pathlib.Path) -> None:
    """MFU times goodput over chips, an SVG.

    Args:
      points: From `all_points`.
      path: Of the picture.
    """
    with matplotlib.rc_context({"svg.hashsalt": "scaling", "svg.fonttype": "none"}):
        picture = figure.Figure(figsize=(9, 3.4), layout="constrained")
        for axes, name in zip(
            picture.subplots(1, len(model.MODELS), sharey=True),
            model.MODELS,
            strict=True,
        ):
            for i, chip in enumerate(model.CHIPS):
                for is_recipe, style in ((True, "--o"), (False, "-")):
                    shown = [
                        (count, 100 * one.prediction.mfu * one.goodput)
                        for count in model.COUNTS
                        if (one := points[name, chip, count, is_recipe]) and one.prediction
                        if is_recipe or count >= model.RECIPE_ROWS
                    ]
                    label = chip + (
                        f", {model.RECIPE_ROWS} rows" if is_recipe else ", one row a chip"
                    )
                    axes.plot(*zip(*shown, strict=True), style, color=f"C{i}", ms=3, label=label)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
            axes.set(title=f"{name.upper()}, stage 3 (predicted)", xlabel="chips")
            axes.grid(alpha=0.3)
        picture.axes[0].set_ylim(bottom=0)
        picture.axes[0].set_ylabel("MFU x goodput, %")
        picture.axes[-1].legend(fontsize=7)
        picture.savefig(path, format="svg", metadata={"Date": None})


def between_markers(text: str, inside: str) -> str:
    """The document with another middle.

    Args:
      text: With both markers.
      inside: What comes between them.
    """
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    return f"{head}{BEGIN}\n\n{inside}\n\n{END}{tail}"


def describe_collectives(ratios: Mapping[tuple[str, str], float]) -> str:
    """Where they are from, in words.

    Args:
      ratios: From `scaling_model.ratios`.
    """
    by_hand = "counted by hand (`aot/traffic.py`)"
    named = [f"{name} on {chip} {ratio:.2f}" for (name, chip), ratio in sorted(ratios.items())]
    if not named:
        return f"{by_hand}: no compiled program's are at hand"
    return f"{by_hand}, times what the compiled program sends over that: {', '.join(named)}"


def main() -> None:
    """Writes the document's middle and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--table", type=pathlib.Path, default=TABLE)
    table_file = parser.parse_args().table
    points = model.all_points(table_file)
    compiled = describe_collectives(model.ratios(table_file))
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(between_markers(text, document(points, compiled)), encoding="utf-8")
    draw(points, PICTURE)


if __name__ == "__main__":
    main()
