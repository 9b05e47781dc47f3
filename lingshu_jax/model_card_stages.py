# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a model card says of one stage: how it was trained, and on what."""

from collections.abc import Iterator, Mapping
from typing import Any

from lingshu_jax import lineage
from lingshu_jax import model_card_text as markdown
from lingshu_jax.common import pages

Row = Mapping[str, Any]
Facts = Iterator[tuple[str, str]]

RL_TERMS = {
    "reward/accuracy": "accuracy while training",
    "eval/accuracy": "accuracy on held-out questions",
    "blind/accuracy": "the same, images greyed out",
}


def describe(stage: lineage.Stage) -> dict[str, Any]:
    """The values that the card's template prints of a stage.

    Args:
      stage: One of a chain.

    Returns:
      `name`; `facts`, pairs of text; `sha256` of the mixture and `sources`, rows of a table.
    """
    facts = [*_run_facts(stage)]
    facts += _rl_facts(stage) if "rl" in stage.config else _loss_facts(stage)
    return {
        "name": markdown.code(stage.name),
        "facts": facts,
        "sha256": stage.data.get("sha256"),
        "sources": [*_source_rows(stage.data)],
    }


def _run_facts(stage: lineage.Stage) -> Facts:
    """What all kinds of stages have."""
    data, model, epochs = stage.config["data"], stage.config["model"], stage.config["epochs"]
    passes = f", {epochs} pass{'es' * (epochs > 1)} over the data" if epochs else ""
    yield "length", f"{pages.number(stage.steps)} optimizer steps{passes}"
    packed = "one sequence a row" if data["sequences_per_row"] == 1 else "packed"
    tokens = pages.number(data["tokens_per_row"])
    rows = "rows of a pass" if "rl" in stage.config else "rows of a step"
    yield rows, f"{data['rows_per_batch']} of {tokens} tokens, {packed}"
    if count := data.get("sequences_per_batch"):
        yield "sequences of a step", pages.number(count)
    yield from _rate_facts(stage.config)
    yield "optimizer", _describe_optimizer(stage.config["optim"])
    areas = " to ".join(pages.number(data[f"{end}_pixels"]) for end in ("min", "max"))
    yield "image areas", f"{areas} pixels"
    yield "precision", _describe_precision(model)


def _describe_precision(model: Row) -> str:
    kept, frozen = model["param_dtype"], model.get("frozen_dtype")  # "" where it is the same
    narrower = f", frozen ones {frozen}" if frozen and frozen != kept else ""
    return f"parameters {kept}{narrower}, products {model['compute_dtype']}"


def _rate_facts(config: Row) -> Facts:
    """Which parameters are trained; adapters are trained alone unless the stage says otherwise."""
    lora: Row = config.get("lora") or {"modules": ""}
    is_full = not lora["modules"] or lora["train_base"]
    rates = [(markdown.code(pattern), *how) for pattern, *how in config["optim"]["trainable"]]
    trained = [
        f"{name} {rate:g}{_describe_options(*options)}"
        for name, rate, *options in rates
        if is_full and rate is not None
    ]
    if lora["modules"]:
        yield (
            "adapters",
            f"LoRA of rank {lora['rank']}, alpha {lora['alpha']:g}, on "
            f"{markdown.code(lora['modules'])}, merged into the weights",
        )
        options = _describe_options(dict(lora["options"]))
        trained.insert(0, f"adapters {lora['learning_rate']:g}{options}")
    yield "peak learning rates", ", ".join(trained) or "none"
    frozen = [name for name, rate, *_ in rates if rate is None] if is_full else ["everything else"]
    yield "frozen", ", ".join(frozen) or "nothing"


def _describe_options(options: Row | None = None) -> str:
    """What a group has of its own, in parentheses."""
    words = [f"{name.replace('_', ' ')} {value}" for name, value in (options or {}).items()]
    return f" ({', '.join(words)})" if words else ""


def _describe_optimizer(optim: Row) -> str:
    falls = {"cosine": "a cosine", "linear": "a line", "wsd": "constant, at the end a line"}
    end, schedule = optim["final_fraction"], optim["schedule"]
    then = f"{falls[schedule]} to {end:g} of the peak" if schedule in falls else schedule
    penalty = f", z-loss {optim['z_loss']:g}" if optim["z_loss"] else ""
    return (
        f"AdamW, betas {optim['b1']:g} and {optim['b2']:g}, weight decay "
        f"{optim['weight_decay']:g}, gradient norm at most {optim['clip_norm']:g}{penalty}, "
        f"{optim['warmup_steps']} warm-up steps, then {then}"
    )


def _loss_facts(stage: lineage.Stage) -> Facts:
    is_sequence = stage.config["data"]["normalization"] == "sequence"
    mean = "mean over sequences of their means" if is_sequence else "mean over trained tokens"
    losses = [stage.finished.get(f"{end}_loss") for end in ("first", "last")]
    known = ""
    if None not in losses:
        known = f", {pages.number(losses[0])} at first, {pages.number(losses[1])} at last"
    yield "loss", f"cross-entropy, {mean}{known}"


def _rl_facts(stage: lineage.Stage) -> Facts:
    rl = stage.config["rl"]
    reward = rl["reward"]
    yield (
        "method",
        f"GRPO, {rl['rollouts_per_prompt']} answers to each of {rl['prompts_per_rollout']} prompts "
        f"at temperature {rl['temperature']:g}, {rl['prompts_per_update']} prompts an update, at "
        f"most {pages.number(rl['max_new_tokens'])} tokens an answer, ratio clipped to "
        f"[{1 - rl['clip_low']:g}, {1 + rl['clip_high']:g}]",
    )
    weights = [f"{reward[f'{term}_weight']:g} x {term}" for term in ("format", "accuracy")]
    yield "reward", " + ".join(weights)
    kl = f"coefficient {rl['kl_coef']:g}" if rl["kl_coef"] else "none"
    yield "KL to the start of the stage", kl
    for term, name in RL_TERMS.items():
        ends = [stage.finished.get(f"{q}_quarter", {}).get(term) for q in ("first", "last")]
        if None not in ends:
            first, last = map(pages.percent, ends)
            yield name, f"{first} in the first quarter of the steps, {last} in the last"


def _source_rows(data: Row) -> Iterator[tuple[str, ...]]:
    held_out = data.get("held_out") or {}
    for entry in data.get("sources", []):
        yield _source_row(entry)
    for entry in held_out.get("sources", []):
        yield _source_row(entry, " (held out)")


def _source_row(entry: Row, note: str = "") -> tuple[str, ...]:
    dropped = sum(entry["dropped"].values())
    counts = (entry["rows"], dropped, entry["examples"], entry["media"]["files"])
    name, digest = markdown.code(entry["name"]) + note, markdown.code(entry["sha256"])
    return (name, *map(pages.number, counts), digest)
