# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The README.md of an exported folder, written from what its training left behind.

It names folders by their last two parts at most, and no user and no machine.
"""

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import huggingface_hub
import jax
import jax.numpy as jnp
import jinja2

import lingshu_jax
from lingshu_jax import lineage, model_card_stages
from lingshu_jax import model_card_text as markdown
from lingshu_jax.common import errors, hub, pages
from lingshu_jax.eval import folder as eval_folder
from lingshu_jax.eval import metrics
from lingshu_jax.models import hf_config, origin, qwen2_5_vl

Row = Mapping[str, Any]
Facts = Iterator[tuple[str, str]]

# Values of a base model's card that hold for what is trained from it.
LICENSE_KEYS = ("license", "license_name", "license_link")
SMALL = 100_000_000  # parameters; fewer are a test of the software, not a model
THIS = "this model"
NOWHERE = "not known: its folder was gone when this card was written"


class Evaluation(NamedTuple):
    """A finished evaluation: summary.json, and whose answers they are."""

    summary: dict[str, Any]
    model: str


def write(
    folder: pathlib.Path,
    source: pathlib.Path,
    *,
    name: str = "",
    evaluation: pathlib.Path | None = None,
) -> str:
    """Writes README.md.

    Args:
      folder: The exported folder, with config.json and weights.
      source: The run's workdir or the checkpoint folder that it was exported from.
      name: Of the model; default the folder's.
      evaluation: Folder of an evaluation, or a folder that holds several; None writes that
        nothing was measured.

    Returns:
      The text.

    Raises:
      UserError: If a file of the run cannot be read or an evaluation is not complete.
    """
    traced = lineage.trace(source)
    name = name or folder.absolute().name
    evaluations = _read_evaluations(evaluation, folder) if evaluation else []
    parameters = _count_parameters(folder)
    environment = jinja2.Environment(  # Markdown, so nothing is escaped: `cell` does
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    text = environment.from_string(markdown.TEMPLATE).render(
        name=name,
        front_matter=_front_matter(traced.base),
        intro=_introduce(traced, name),
        model=[*_describe_model(folder, traced.base, parameters)],
        stages=[model_card_stages.describe(stage) for stage in traced.stages],
        scores=[*_scores(evaluations)],
        settings=_describe_settings(evaluations),
        limits=[*_limits(traced, evaluations, sum(parameters.values()))],
        made_with=_describe_versions(traced),
        commands=[*_commands(traced, name)],
    )
    (folder / lineage.CARD).write_text(text, encoding="utf-8")
    return text


def _front_matter(base: lineage.Base) -> str:
    """What the hub reads: it lists the model under its base, with the base's licence."""
    upstream = base.known.hub_id or base.card.get("base_model")
    data = huggingface_hub.ModelCardData(
        base_model=upstream,
        language="en",
        library_name="transformers",
        pipeline_tag="image-text-to-text",
        tags=["medical", "qwen2_5_vl", "lingshu_jax"],
    )
    for key in LICENSE_KEYS:
        if isinstance(base.card.get(key), str):
            data[key] = base.card[key]
    return data.to_yaml()


def _introduce(traced: lineage.Lineage, name: str) -> str:
    count, base = len(traced.stages), traced.base
    began = "random weights" if base.is_random else markdown.code(base.known.name)
    done = "not trained any further"
    if count:
        done = (
            f"trained in {count} stage{'s' * (count > 1)}, after the recipe of Lingshu (arXiv "
            "2506.07044)"
        )
    return (
        f"{markdown.code(name)} is a vision-language model of the Qwen2.5-VL architecture for "
        f"medical images and text: {began}, {done}. It is no release of the authors of Lingshu or "
        "of Qwen2.5-VL."
    )


def _describe_model(
    folder: pathlib.Path, base: lineage.Base, parameters: Mapping[str, int]
) -> Facts:
    size = hf_config.read(folder)
    parts = ", ".join(f"{part} {pages.number(count)}" for part, count in parameters.items())
    yield "base", base.known.name if base.is_random else markdown.code(base.known.name)
    if not base.is_random:
        revision = base.known.revision
        yield "revision of the base", markdown.code(revision) if revision else "not known"
        yield "licence of the base", markdown.cell(base.card.get("license", "not known"))
    yield "parameters", f"{pages.number(sum(parameters.values()))} ({parts})"
    for name, part in (("text model", size.text), ("vision tower", size.vision)):
        yield name, f"{part.num_layers} layers of width {pages.number(part.embed_dim)}"


def _count_parameters(folder: pathlib.Path) -> dict[str, int]:
    shapes = qwen2_5_vl.abstract_params(hf_config.read(folder), jnp.dtype(jnp.float32))
    return {
        part: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
        for part, tree in sorted(shapes.items())
    }


# Scores.


def find_evaluations(path: pathlib.Path) -> list[pathlib.Path]:
    """The evaluation in a folder, or those in the folders inside it.

    Args:
      path: The folder.

    Raises:
      UserError: If there is no complete one.
    """
    inside = sorted(path.iterdir()) if path.is_dir() else []
    # The folder of a benchmark inside an evaluation is complete as well, without settings.
    found = [p for p in (path, *inside) if (p / eval_folder.SETTINGS).is_file()]
    found = [p for p in found if eval_folder.is_complete(p)]
    if not found:
        raise errors.UserError(
            f"{path} holds no complete evaluation: it has no {eval_folder.COMMIT}"
        )
    return found


def _read_evaluations(path: pathlib.Path, folder: pathlib.Path) -> list[Evaluation]:
    """Those of the folder's own weights first, and of these the one that saw the images."""
    weights = hub.digest_weights(folder)
    summaries = map(eval_folder.read_summary, find_evaluations(path))
    read = [_name_evaluation(summary, weights) for summary in summaries]
    return sorted(read, key=lambda e: (not e.model.startswith(THIS), e.model != THIS))


def _name_evaluation(summary: dict[str, Any], weights: str) -> Evaluation:
    """Scores are this model's only where they were measured on these very weights."""
    settings = summary["settings"]
    if settings["weights"] == weights:
        model = THIS
    elif settings["predictions"]:
        model = "given answers"
    else:
        model = f"other weights, {markdown.code(origin.public_name(settings['model']))}"
    return Evaluation(summary, model + ", images greyed out" * bool(settings["blind"]))


def _scores(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, ...]]:
    names = dict.fromkeys(name for e in evaluations for name in e.summary["benchmarks"])
    for name in names:
        for evaluation in evaluations:
            if numbers := evaluation.summary["benchmarks"].get(name):
                yield (markdown.code(name), evaluation.model, *_numbers(numbers))


def _numbers(numbers: Row) -> Iterator[str]:
    yield pages.number(numbers["n"])
    for mode in ("strict", "compat"):
        share, interval = numbers[f"{mode}_accuracy"], numbers[f"{mode}_interval"]
        yield f"{pages.percent(share)} {pages.interval(interval)}"
    yield pages.percent(numbers["constant_accuracy"])
    failures = [f"{numbers[status]} {status}" for status in metrics.FAILURES if numbers[status]]
    yield markdown.cell(", ".join(failures) or "none")


def _describe_settings(evaluations: Sequence[Evaluation]) -> str:
    """How the answers were generated, where all were generated alike."""
    asked = {
        (s["prompt"], s["max_new_tokens"], s["limit"], s["engine"])
        for s in (e.summary["settings"] for e in evaluations)
        if not s["predictions"]
    }
    if len(asked) != 1:
        return ""
    ((prompt, most, limit, engine),) = asked
    rows = f", of the first {pages.number(limit)} questions" if limit else ""
    return (
        f"Answers are greedy, of at most {pages.number(most)} tokens, asked for in the form "
        f"{markdown.code(prompt)}, generated by the engine {markdown.code(engine)}{rows}."
    )


# What is not known, and how it came about.


def _limits(
    traced: lineage.Lineage, evaluations: Sequence[Evaluation], parameters: int
) -> Iterator[str]:
    base = traced.base
    if base.is_random:
        yield "Its weights began at random: it knows nothing but what the stages above taught it."
    if parameters < SMALL:
        yield f"It has {pages.number(parameters)} parameters: a test of software, of no other use."
    if not base.is_random and not base.path.exists() and not base.known.hub_id:
        yield f"What came before {markdown.code(base.known.name)} is {NOWHERE}."
    for stage in traced.stages:
        if stage.finished.get("steps") != stage.steps:
            yield f"{markdown.code(stage.name)} was taken at step {stage.steps}, before its end."
    own = [e for e in evaluations if e.model == THIS]
    names = sorted({name for e in own for name in e.summary["benchmarks"]})
    if names:
        yield (
            f"It was measured on {', '.join(map(markdown.code, names))} only. Other kinds of "
            "images and questions, whole reports, conversations of several turns, other languages, "
            "safety, calibration and differences between groups of patients were not measured."
        )
    else:
        yield "Nothing was measured on these weights: how often it is right is not known."
    yield (
        "Whether pictures or questions of a benchmark also occur in the training data was not "
        "checked for this card."
    )
    yield "It was made for English; what it does in other languages is not known."
    yield (
        "Give it nothing that identifies a patient unless your rules for such data allow it. "
        "lingshu_jax leaves identifying header elements of DICOM files behind, but does not remove "
        "text that is part of a picture, neither from training data nor from what it is asked."
    )
    yield "It may say what is false in a confident tone, and describe what is not in the picture."
    if traced.stages:
        yield "The licences of its training data are those of the sources, not listed here."


def _describe_versions(traced: lineage.Lineage) -> str:
    """Versions now, and those that stages began with where they differ."""
    now = {"lingshu_jax": lingshu_jax.__version__, "jax": jax.__version__}
    told = f"{now['lingshu_jax']} and jax {now['jax']}"
    for stage in traced.stages:
        then = stage.data.get("made_with", now)
        if then != now:
            told += f"; {stage.name} with {then['lingshu_jax']} and jax {then['jax']}"
    return told


def _commands(traced: lineage.Lineage, name: str) -> Iterator[str]:
    """One command a stage, each folder by its name; the values of CONFIG stand under Training."""
    place = "CHECKPOINT"
    if not traced.stages:
        yield f"python -m lingshu_jax.convert --hf={traced.base.known.name} --checkpoint={place}"
    for stage in traced.stages:
        place = stage.workdir.name
        yield f"python -m lingshu_jax.train --config=CONFIG --workdir={place}"
    yield f"python -m lingshu_jax.export --checkpoint={place} --hf={name}"
