# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small folders of runs and evaluations, with the real writers where there are some."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from configs import stage1_shallow_align, stage4_rl
from lingshu_jax.engines import protocol
from lingshu_jax.eval import runner
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim

EVIL = "<script>alert(1)</script>"
PARAMS = {
    "vision": {"kernel": np.zeros((10, 10), np.float32)},
    "merger": {"kernel": np.zeros((5, 5), np.float32), "bias": np.zeros(5, np.float32)},
    "text": {"head": np.zeros((10, 27), np.float32)},
}
QUESTIONS = (("q0", "yes"), ("q1", "no"), ("q2", "yes"), ("q3", "no"))


def write_data(folder: Path) -> Path:
    """`captions.jsonl`, `vqa_train.jsonl` and `small.jsonl` with their pictures."""
    folder.mkdir(parents=True)
    captions, questions = [], []
    for number, (name, gold) in enumerate(QUESTIONS):
        Image.new("RGB", (40 + number, 30), (20 * number, 90, 90)).save(folder / f"{name}.png")
        image = {"type": "image", "image": f"{name}.png"}
        user = {"role": "user", "content": [image, {"type": "text", "text": f"Is {name} so?"}]}
        said = {"role": "assistant", "content": [{"type": "text", "text": f"{gold} {EVIL}"}]}
        captions.append({"id": name, "messages": [user, said]})
        judged = {"answer": gold, "answer_type": "yes_no", "options": []}
        questions.append({"id": name, "messages": [user], **judged})
    _write_jsonl(folder / "captions.jsonl", captions)
    for name in ("vqa_train", "small"):
        _write_jsonl(folder / f"{name}.jsonl", questions)
    return folder


def write_supervised(workdir: Path, data: Path, *, steps: int = 40) -> Path:
    """A finished run of stage 1, of which three rows were dropped."""
    config = stage1_shallow_align.get_config("tiny")
    workdir.mkdir(parents=True)
    write_config(workdir, config, data)
    rows = [_row(step, loss=8.0 / step) for step in range(1, steps + 1)]
    for row in rows:
        row |= {"loss/captions": row["loss"], "lr/vision/.*": 1e-3, "lr/merger/.*": 1e-3}
    _write_jsonl(workdir / "metrics.jsonl", rows)
    dropped = [_dropped(line, "too long") for line in (1, 2)] + [_dropped(7, f"bad {EVIL}")]
    _write_jsonl(workdir / "dropped.jsonl", dropped)
    _write_json(workdir / "finished.json", _summary(config.stage, rows) | {"examples": 4})
    return workdir


def write_examined(workdir: Path, data: Path, *, times: int = 3) -> Path:
    """The same, with validation every ten steps, answers kept, and a rollback."""
    write_supervised(workdir, data, steps=10 * times)
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    examined = [{"step": 0}, *(row for row in rows if row["step"] % 10 == 0)]
    for row in examined:
        at = row["step"]
        row |= {"validation/loss": 5.0 - at / 10, "validation/loss/held": 5.0 - at / 10}
        row |= {
            "validation/small/strict_accuracy": at / 40,
            "validation/small/constant_accuracy": 0.5,
        }
        asked = [
            {"benchmark": "small", "id": name, "question": f"Is {name} so?", "gold": gold}
            | {"images": [str(data / f"{name}.png")], "finish_reason": "stop"}
            | {"response": f"said at {at} {EVIL}", "correct": at > 0, "status": "ok"}
            for name, gold in QUESTIONS[:2]
        ]
        (workdir / "samples").mkdir(exist_ok=True)
        _write_jsonl(workdir / "samples" / f"step_{at}.jsonl", asked)
    _write_jsonl(workdir / "metrics.jsonl", [examined[0], *rows])
    bad = {"step": 12, "event": "skipped", "time": 1.0, "reason": f"spike {EVIL}"}
    back = {"step": 14, "event": "rollback", "time": 2.0, "to_step": 8}
    _write_jsonl(workdir / "events.jsonl", [{**bad, "loss": float("nan")}, back])
    return workdir


def write_rl(workdir: Path, data: Path) -> Path:
    """A finished run of stage 4 over four steps, the last two of which raise an alarm."""
    config = stage4_rl.get_config("tiny")
    (workdir / "rollouts").mkdir(parents=True)
    write_config(workdir, config, data)
    rows = [_row(step, loss=-0.1, kl=0.0, entropy=0.5, clip_fraction=0.0) for step in (1, 2, 3, 4)]
    for row in rows:
        share = row["step"] / 8
        row |= {"reward/accuracy": share, "reward/format": 1.0, "length/mean": 9.0}
        row |= {"alarm/entropy_collapse": float(row["step"] > 2), "alarm/ratio_gap": 0.0}
        row |= {"seconds/decode": 4.0, "seconds/eval": 9.0}
    for row, at in ((rows[0], 0), (rows[3], 4)):
        seeing = {"eval/step": at, "eval/accuracy": 0.25 + at / 8, "blind/accuracy": 0.25}
        row |= seeing | {"shuffled/accuracy": 0.2, "blind/share": 0.75, "shuffled/share": 0.5}
        row |= {"blind/share_low": 0.5, "blind/share_high": 0.9, "shuffled/share_low": None}
        _write_jsonl(
            workdir / "rollouts" / f"{row['step']:06d}.jsonl", _rollouts(row["step"], data)
        )
    _write_jsonl(workdir / "metrics.jsonl", rows)
    _write_jsonl(workdir / "dropped.jsonl", [])
    quarters = {
        "first_quarter": {"reward/accuracy": 0.125, "eval/accuracy": 0.25, "blind/accuracy": 0.25},
        "last_quarter": {"reward/accuracy": 0.5, "eval/accuracy": 0.75, "blind/accuracy": 0.25},
    }
    held = {"prompts": 4, "held_out": 4, **quarters}
    _write_json(workdir / "finished.json", _summary(config.stage, rows) | held)
    return workdir


class Scripted:
    """Gives the same answer to every question."""

    def __init__(self, text: str):
        self._text = text

    def generate(
        self, requests: Any, *, on_result: protocol.OnCompletions | None = None
    ) -> list[list[protocol.Completion]]:
        answer = protocol.Completion(
            text=self._text, tokens=(1, 2), logprobs=(0.0, 0.0), finish_reason="stop"
        )
        for place in range(len(requests) if on_result else 0):
            on_result(place, [answer])
        return [[answer] for _ in requests]


def write_evaluation(folder: Path, data: Path, text: str) -> Path:
    """A complete evaluation in which every answer is `text`."""
    settings = runner.Settings(model="m", benchmarks="small", data_dir=str(data), max_new_tokens=8)
    runner.evaluate(settings, folder, lambda: Scripted(text))
    return folder


def write_config(workdir: Path, config: Any, data: Path) -> None:
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(data)))
    _write_json(workdir / "config.json", stage_config.to_dict(config))
    groups = optim.assign_groups([*optim.flatten(PARAMS)], config.rules)
    described = optim.describe(PARAMS, groups, config.step_settings)
    (workdir / "params.txt").write_text(described, encoding="utf-8")


def _row(step: int, **values: float) -> dict[str, Any]:
    same = {"grad_norm": 1.0, "mfu": None, "goodput": 0.9, "memory_bytes": 2.0**30}
    fill = {"fill/tokens": 0.94, "fill/patches": 0.36, "tokens_per_second": 1234.0}
    seconds = {"seconds/data": 1.0, "seconds/step": 3.0}
    return {"step": step, **same, **fill, **seconds, **values}


def _summary(stage: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "stage": stage,
        "steps": rows[-1]["step"],
        "dropped": 3,
        "fill": {"tokens": 0.94, "patches": 0.36},
        "tokens_per_second": 1234.0,
    }


def _dropped(line: int, reason: str) -> dict[str, Any]:
    return {"id": f"row{line}", "source": "captions", "line": line, "reason": reason}


def _rollouts(step: int, data: Path) -> list[dict[str, Any]]:
    """q0 is always answered right, q1 in half of its four rollouts."""
    rows = []
    for name, gold, said in (("q0", "yes", ["yes"] * 4), ("q1", "no", ["no", "no", EVIL, "x"])):
        for sample, text in enumerate(said):
            accuracy = float(text == gold)
            rows.append(
                {"step": step, "id": name, "sample": sample, "question": f"Is {name} so?"}
                | {"gold": gold, "answer_type": "yes_no", "completion": text, "tokens": 3}
                | {"finish_reason": "stop", "rewards": {"format": 1.0, "accuracy": accuracy}}
                | {"reward": 0.5 + accuracy, "status": "ok" if accuracy else "unparsed"}
                | {"parsed": text if accuracy else None, "advantage": accuracy - 0.5}
                | {"images": [str(data / f"{name}.png")]}
            )
    return rows


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
