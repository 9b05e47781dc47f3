# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How far the log-probabilities that engines report are from the learner's own, as a table.

    PYTHONPATH=. python -m benchmarks.logprob_gap --torch=PYTHON --vllm=PYTHON --output=gap.json

The small random checkpoints of `tests/vllm`, prompts with no, one and two images. Each engine
answers every prompt at temperature 1 several times and once greedily; what it answered goes through
the learner's forward pass as in RL: packed rows in which the answers of a prompt share it, float32
weights, the engine's dtype to compute in. A gap is the learner's log-probability of a token less
the engine's, in nats; e to it is the importance weight of RL.

`--torch` is the interpreter that has torch and transformers, `--vllm` the one that has vLLM for the
CPU and this package.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import logprob_gap_vllm, train_step, train_step_sides
from lingshu_jax.common import structs
from lingshu_jax.data import messages, packing
from lingshu_jax.engines import jax_engine
from lingshu_jax.models import hf, qwen2_5_vl
from lingshu_jax.rl import rows as rl_rows
from lingshu_jax.rl import step
from tests.vllm import folders

ENGINES = {"jax": "JAX engine", "vllm": "vLLM", "transformers": "transformers"}
DTYPES, WAYS = ("float32", "bfloat16"), ("sampled", "greedy")
SAMPLES, EXTRA = 4, 6  # answers of a prompt at temperature 1; prompts beside the six named ones
REPORTED, HAS_IMAGES = "reported", "has_images"  # of each token
BUDGET = packing.Budget(tokens=1024, patches=1024)  # of a packed row
COLUMNS = (
    *("dtype", "engine", "tokens", "count", "mean gap", "without images", "p99", "largest"),
    *("learner's rounding", "other argmax", "mean weight", "effective share"),
)
# Of vLLM; threads that wait for a core spin.
VARIABLES = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
}


class Tokens(NamedTuple):
    """What two sides say of the same tokens, side by side.

    Attributes:
      engine: Log-probabilities as reported, nats.
      learner: The learner's own.
      exact: Those of a learner that computes in float32.
      is_likeliest: Whether the learner would have chosen the token.
      has_images: Whether its prompt has any.
    """

    engine: np.ndarray
    learner: np.ndarray
    exact: np.ndarray
    is_likeliest: np.ndarray
    has_images: np.ndarray


def write(work: pathlib.Path, checkpoints: Sequence[str]) -> None:
    """Everything that the engines read.

    Args:
      work: An empty folder.
      checkpoints: Names of `folders.CHECKPOINTS`.
    """
    for name in checkpoints:
        folder = work / name
        folder.mkdir()
        folders.make(folder, name)
        requests = folders.requests(folder, extra=EXTRA)
        (folder / "requests.json").write_text(json.dumps(requests))
    asked = {"checkpoints": checkpoints, "dtypes": DTYPES, "samples": SAMPLES}
    (work / "work.json").write_text(json.dumps(asked))


def ask(engine: str, work: pathlib.Path, flags: argparse.Namespace) -> dict[str, Any]:
    """An engine's answers, by checkpoint, dtype and way.

    Args:
      engine: Of `ENGINES`.
      work: From `write`.
      flags: `torch` and `vllm`.
    """
    if engine == "jax":
        names = json.loads((work / "work.json").read_text())["checkpoints"]
        return {name: {dtype: ask_jax(work / name, dtype) for dtype in DTYPES} for name in names}
    python, side = (flags.vllm, "vllm") if engine == "vllm" else (flags.torch, "torch")
    subprocess.run(
        [python, "-m", f"benchmarks.logprob_gap_{side}", f"--work={work}"],
        cwd=pathlib.Path(__file__).resolve().parents[1],
        env={**train_step_sides.environment("cpu"), **VARIABLES},
        stdout=sys.stderr,
        check=True,
    )
    return json.loads((work / f"{engine}.json").read_text())


def ask_jax(folder: pathlib.Path, dtype: str) -> dict[str, Any]:
    """The JAX engine's answers, with live float32 weights as training holds them.

    Args:
      folder: Of a checkpoint.
      dtype: To compute in.
    """
    exported = folder / "exported"
    size = hf.read_config(exported)
    params = jax.tree.map(jnp.asarray, hf.load_params(exported, size))
    model = qwen2_5_vl.Qwen2_5_VL(size=size, dtype=jnp.dtype(dtype))
    engine = jax_engine.JaxEngine(params, model, messages.Encoder.from_folder(exported))
    requests = json.loads((folder / "requests.json").read_text())
    return logprob_gap_vllm.ask(engine, requests, SAMPLES)


class Learner:
    """The forward pass of RL on one checkpoint."""

    def __init__(self, folder: pathlib.Path, requests: Sequence[dict[str, Any]], dtype: str):
        """Loads the weights in float32.

        Args:
          folder: A Hugging Face folder.
          requests: What the engines were asked.
          dtype: To compute in.
        """
        size = hf.read_config(folder)
        self._params = jax.tree.map(jnp.asarray, hf.load_params(folder, size))
        self._exact = qwen2_5_vl.Qwen2_5_VL(size=size)
        self._model = qwen2_5_vl.Qwen2_5_VL(size=size, dtype=jnp.dtype(dtype))
        self._encoder = messages.Encoder.from_folder(folder)
        self._prompts = [
            self._encoder.encode(row["messages"], train=False, generation_prompt=True)
            for row in requests
        ]

    def read(self, answers: Sequence[Sequence[dict[str, Any]]]) -> Tokens:
        """All tokens of the answers, in any order.

        Args:
          answers: Of each prompt, as `{"tokens", "logprobs"}`.
        """
        groups = [
            [_extend(prompt, answer) for answer in group]
            for prompt, group in zip(self._prompts, answers, strict=True)
        ]
        geometry = self._encoder.geometry
        passes = rl_rows.plan(groups, BUDGET, geometry=geometry, rows_per_pass=1)
        return Tokens(*map(np.concatenate, zip(*map(self._read_pass, passes), strict=True)))

    def _read_pass(self, rows: list[rl_rows.Row]) -> Tokens:
        arrays = rl_rows.assemble(
            rows,
            BUDGET,
            geometry=self._encoder.geometry,
            pad_id=self._encoder.special.pad,
            extras=(REPORTED, HAS_IMAGES),
        )
        batch = structs.Batch.from_arrays(arrays)
        exact, found = (
            _logprobs(self._params, batch, model=model) for model in (self._exact, self._model)
        )
        likeliest = _likeliest(self._params, batch, model=self._model)
        is_asked = arrays["loss_weights"] > 0
        return Tokens(
            engine=arrays[REPORTED][is_asked],
            learner=np.asarray(found)[is_asked],
            exact=np.asarray(exact)[is_asked],
            is_likeliest=(np.asarray(likeliest) == arrays["tokens"])[is_asked],
            has_images=arrays[HAS_IMAGES][is_asked] > 0,
        )


def _extend(prompt: messages.Encoded, answer: dict[str, Any]) -> messages.Encoded:
    """A rollout."""
    ones = np.ones(len(answer["tokens"]), np.float32)
    extras = {
        REPORTED: np.asarray(answer["logprobs"], np.float32),
        HAS_IMAGES: ones * bool(prompt.media),
    }
    return messages.extend(prompt, answer["tokens"], loss_weights=ones, extras=extras)


_logprobs = jax.jit(step.token_logprobs, static_argnames="model")


@jax.jit(static_argnames="model")
def _likeliest(params: Any, batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL) -> jax.Array:
    """The token that the learner would choose at each place, [B, T]."""
    hidden = jnp.roll(qwen2_5_vl.apply(model, params, batch), 1, axis=1)
    return jnp.argmax(qwen2_5_vl.apply(model, params, hidden, method=model.logits), axis=-1)


def summarise(found: Tokens) -> dict[str, float]:
    """The figures of a line of the table.

    Args:
      found: One token or more.

    Returns:
      Gaps absolute, in nats; `rounding` is the learner's own from float32, `effective_share`
      (sum w)^2 / (n sum w^2) of the weights w.
    """
    signed = found.learner.astype(np.float64) - found.engine
    gaps, weights = np.abs(signed), np.exp(signed)
    plain = gaps[~found.has_images]
    rounding = np.abs(found.learner - found.exact)
    return {
        "tokens": len(gaps),
        "mean": float(gaps.mean()),
        "mean_without_images": float(plain.mean()) if len(plain) else 0.0,
        "rounding": float(rounding.mean()),
        "p99": float(np.quantile(gaps, 0.99)),
        "largest": float(gaps.max()),
        "other_argmax": float((~found.is_likeliest).mean()),
        "mean_weight": float(weights.mean()),
        "effective_share": float(weights.mean() ** 2 / (weights**2).mean()),
        "mean_logprob": float(found.learner.mean(dtype=np.float64)),
    }


def measure(
    checkpoints: Sequence[str], engines: Sequence[str], flags: argparse.Namespace
) -> list[dict[str, Any]]:
    """One line of the table for each dtype, engine and way, over all checkpoints.

    Args:
      checkpoints: Names of `folders.CHECKPOINTS`.
      engines: Of `ENGINES`.
      flags: `torch` and `vllm`.
    """
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        write(work, checkpoints)
        answers = {engine: ask(engine, work, flags) for engine in engines}
        found: dict[tuple[str, str, str], list[Tokens]] = {}
        for dtype, checkpoint in itertools.product(DTYPES, checkpoints):
            requests = json.loads((work / checkpoint / "requests.json").read_text())
            learner = Learner(work / checkpoint / "exported", requests, dtype)
            for engine, way in itertools.product(engines, WAYS):
                tokens = learner.read(answers[engine][checkpoint][dtype][way])
                found.setdefault((dtype, engine, way), []).append(tokens)
    return [
        {"dtype": dtype, "engine": engine, "way": way}
        | summarise(Tokens(*map(np.concatenate, zip(*several, strict=True))))
        for (dtype, engine, way), several in found.items()
    ]


def table_lines(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines of the Markdown table.

    Args:
      results: From `measure`.
    """
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for one in results:
        is_greedy = one["way"] == "greedy"
        gaps = (one[name] for name in ("mean", "mean_without_images", "p99", "largest"))
        cells = (
            *(one["dtype"], ENGINES[one["engine"]], one["way"], f"{one['tokens']:,}"),
            *(f"{gap:.1e}" for gap in gaps),
            f"{one['rounding']:.1e}",
            # Only what was chosen greedily should be the likeliest, only what was drawn averages 1.
            f"{one['other_argmax']:.2%}" if is_greedy else "",
            "" if is_greedy else f"{one['mean_weight']:.6f}",
            "" if is_greedy else f"{one['effective_share']:.6f}",
        )
        yield f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the arguments; prints the table and writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--vllm", default=sys.executable)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument(
        "--checkpoints", nargs="+", choices=folders.CHECKPOINTS, default=list(folders.CHECKPOINTS)
    )
    flags = parser.parse_args(argv)
    about = train_step.machine()
    results = measure(flags.checkpoints, flags.engines, flags)
    print(*table_lines(results), sep="\n", flush=True)
    print(f"\n{json.dumps({**about, 'load_after': os.getloadavg()[0]})}")
    train_step.write_result(flags.output, results, about)


if __name__ == "__main__":
    main()
