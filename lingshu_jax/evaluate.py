# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Generates answers to benchmarks and scores them, or scores an existing prediction file.

    python -m lingshu_jax.evaluate --model=DIR_OR_ID --engine=jax --benchmarks=vqa_rad \
        --data_dir=DIR --output_dir=DIR
    python -m lingshu_jax.evaluate --predictions=FILE --benchmarks=vqa_rad --output_dir=DIR
    python -m lingshu_jax.evaluate --compare=DIR,DIR --output_dir=DIR

The same command again goes on where it was interrupted; on a finished folder it does nothing.
Without --data_dir benchmarks come from the hub. Several processes share the work with
--num_shards=N --shard=I and the same --output_dir; the one that finds all answers there scores.
Flags such as --calibration add a section to the report, of a finished evaluation too.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from lingshu_jax.common import cli, errors, pages, paths
from lingshu_jax.engines import protocol, registry
from lingshu_jax.eval import (
    answering,
    compare,
    folder,
    medevalkit,
    metrics,
    peers,
    reopening,
    runner,
)
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import probes as probes_lib

SAMPLING = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")


def run(
    settings: runner.Settings,
    output_dir: Path,
    *,
    options: registry.Options = registry.DEFAULTS,
    probes: probes_lib.Probes = probes_lib.NONE,
    peer: str = peers.AUTO,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Evaluates with the settings' engine, or scores their prediction file.

    Args:
      settings: What to evaluate, and how.
      output_dir: Missing, empty, or begun with the same settings.
      options: Of the engine.
      probes: What is looked at besides.
      peer: Row of `peers.PEERS` that says how the model is asked; `auto` finds it, `none` takes
        none.
      overwrite: Deletes an earlier evaluation in `output_dir`.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If an input cannot be used.
    """
    probes.validate(has_engine=not settings.predictions)
    if settings.predictions:
        summary = runner.score_predictions(settings, output_dir, overwrite=overwrite)
        _add_sections(probes, settings, output_dir, _no_engine, part=runner.WHOLE)
        return summary
    settings, make = _choose(settings, options, peer)
    with make as make_engine:
        summary = runner.evaluate(
            settings, output_dir, make_engine, overwrite=overwrite, options=options
        )
        _add_sections(probes, settings, output_dir, make_engine, part=runner.WHOLE)
    return summary


def run_part(
    settings: runner.Settings,
    output_dir: Path,
    *,
    part: answering.Part | None,
    score_failed: bool = False,
    options: registry.Options = registry.DEFAULTS,
    probes: probes_lib.Probes = probes_lib.NONE,
    peer: str = peers.AUTO,
    overwrite: bool = False,
) -> dict[str, Any] | None:
    """As `run`, for one of several processes.

    Args:
      settings: As in `run`, without predictions.
      output_dir: As in `run`; all processes have the same.
      part: Which questions this process asks. None asks all; where JAX has joined several hosts,
        each asks its share, on its own devices.
      score_failed: Questions that get no answer count as empty answers.
      options: As in `run`.
      probes: As in `run`; they begin once all processes have given their answers.
      peer: As in `run`.
      overwrite: As in `run`.

    Returns:
      The content of summary.json; None while answers of other processes are missing.

    Raises:
      UserError: If an input cannot be used, or questions got no answer.
    """
    probes.validate(has_engine=True)
    settings, make = _choose(settings, options, peer)
    with _hosts(settings.engine, part) as found, make as make_engine:
        ours = dataclasses.replace(found, score_failed=score_failed)
        summary = runner.evaluate_part(
            settings, output_dir, make_engine, part=ours, overwrite=overwrite, options=options
        )
        if summary is not None:
            _add_sections(probes, settings, output_dir, make_engine, part=ours)
        return summary


def _add_sections(
    probes: probes_lib.Probes,
    settings: runner.Settings,
    output_dir: Path,
    make_engine: Callable[[], protocol.Generator],
    *,
    part: answering.Part,
) -> None:
    """Runs the probes of a finished evaluation that are missing, and shows what they found."""
    if probes_lib.are_done(probes, output_dir):
        return
    loaded = runner.load_questions(settings)
    desk = desk_lib.Desk(
        output_dir, settings, loaded, make_engine, part=part, limit=probes.probe_limit
    )
    if probes_lib.run(probes, desk):
        reopening.rewrite(output_dir, loaded)


def _no_engine() -> protocol.Generator:
    raise errors.UserError("a prediction file is scored without an engine")


def write_medevalkit(settings: runner.Settings, output_dir: Path) -> None:
    """Writes a finished evaluation in MedEvalKit's layout as well, unless that is there.

    Args:
      settings: Of the evaluation, as it was given to `run`.
      output_dir: Its folder.

    Raises:
      UserError: If its data cannot be read any more.
    """
    if (output_dir / medevalkit.FOLDER).is_dir():
        return
    found = {
        name: (loaded.card, loaded.samples, folder.read_samples(output_dir / name))
        for name, loaded in runner.load_questions(settings).items()
    }
    medevalkit.write(output_dir, found)


def define_flags() -> None:
    """Defines the command's flags."""
    registry.define_flags()
    flags.adopt_module_key_flags(registry)  # --help shows them
    flags.DEFINE_alias("batch_size", "rows")
    flags.DEFINE_string("benchmarks", None, "Comma list of names, or rows:FILE.jsonl.")
    flags.DEFINE_string("data_dir", None, "Folder of the benchmarks' data; default: the hub.")
    flags.DEFINE_string("output_dir", None, "Where everything is written.")
    flags.DEFINE_string("predictions", None, "Score this file; nothing is generated.")
    flags.DEFINE_integer("limit", None, "Only the first rows of each benchmark.")
    flags.DEFINE_integer("max_new_tokens", 1024, "Longest answer, in tokens.")
    flags.DEFINE_float("temperature", 0.0, "0 is greedy.")
    flags.DEFINE_float("top_p", 1.0, "Sample from the likeliest tokens that have this share.")
    flags.DEFINE_integer("top_k", 0, "Sample from so many of the likeliest tokens; 0 is all.")
    flags.DEFINE_float("repetition_penalty", 1.0, "Of tokens that occurred; 1 is off.")
    flags.DEFINE_integer("seed", 0, "Of sampled answers; question i takes seed + i.")
    flags.DEFINE_string("prompt", "direct", "direct, think: the think/answer form, or boxed.")
    flags.DEFINE_string("peer", peers.AUTO, "How a model is asked: auto, none, or a row's name.")
    flags.DEFINE_boolean("overwrite", False, "Delete an earlier evaluation first.")
    flags.DEFINE_boolean("blind", False, "Replace every image by a grey one.")
    flags.DEFINE_integer("num_shards", None, "So many processes share the questions.")
    flags.DEFINE_integer("shard", None, "Which of them this one is, from 0.")
    flags.DEFINE_boolean(
        "score_failed", False, "Questions that get no answer count as empty answers."
    )
    flags.DEFINE_boolean("medevalkit_layout", False, "Also write MedEvalKit's files.")
    flags.DEFINE_list("compare", None, "Two finished evaluations; nothing is generated.")
    flags.DEFINE_boolean("image_baselines", False, "Also ask with grey, other and no pictures.")
    flags.DEFINE_integer("option_shuffles", 0, "Also ask with so many orders of the options.")
    flags.DEFINE_integer("prompt_variants", 0, "Also ask in so many other words, at most 5.")
    flags.DEFINE_boolean("calibration", False, "How probabilities of options fit what is right.")
    flags.DEFINE_boolean("overconfidence", False, "The same on pictures that show nothing.")
    flags.DEFINE_string("hallucination", "", "Table of pictures and findings: ask for each.")
    flags.DEFINE_string("contamination", "", "Fingerprints of training data to look for.")
    flags.DEFINE_integer("probe_limit", None, "Probes take so many questions, drawn.")
    flags.DEFINE_string("weights_dir", "", "Models of the metrics of reports.")
    flags.DEFINE_string("metrics_python", "", "Interpreter that has what these models need.")


def main(argv: list[str]) -> None:
    """Evaluates as the flags say and prints some lines a benchmark."""
    del argv
    address = cli.required("output_dir")
    if cli.flag("compare"):
        _compare(cli.flag("compare"), address)
        return
    settings, part, probes = _settings(), _part(), _probes()
    options = registry.options_from_flags()
    with paths.opened(address) as output_dir:
        if settings.predictions:
            overwrite = cli.flag("overwrite")
            summary = run(settings, output_dir, options=options, probes=probes, overwrite=overwrite)
        else:
            summary = run_part(
                settings,
                output_dir,
                part=part,
                score_failed=cli.flag("score_failed"),
                options=options,
                probes=probes,
                peer=cli.flag("peer"),
                overwrite=cli.flag("overwrite"),
            )
        if summary is not None and cli.flag("medevalkit_layout"):
            write_medevalkit(settings, output_dir)
    if summary is None:
        print(
            "all questions of this shard have answers; the shard that ends last scores, or the "
            "same command without --shard and --num_shards"
        )
        return
    print_summary(summary)
    if missing := probes_lib.missing(probes, output_dir):
        print(
            f"{', '.join(missing)}: answers of other shards are missing; the same command again, "
            "for each of them"
        )
    print(f"report: {address}/report.html")


def print_summary(summary: dict[str, Any]) -> None:
    """Prints a line a benchmark: rows, both accuracies, the constant's, failures; what it took."""
    for name, numbers in summary["benchmarks"].items():
        failures = [f"{numbers[f]} {f}" for f in metrics.FAILURES if numbers[f]]
        print(
            f"{name}: {numbers['n']} rows, compat {pages.percent(numbers['compat_accuracy'])},"
            f" strict {pages.percent(numbers['strict_accuracy'])},"
            f" constant {pages.percent(numbers['constant_accuracy'])}"
            + (f"; {', '.join(failures)}" if failures else "")
        )
        if "usage" in numbers:
            print(f"  {say_usage(numbers['usage'])}")


def say_usage(usage: Mapping[str, Any]) -> str:
    """One line on what the answers took.

    Args:
      usage: From `answering.total`.
    """
    said = [f"{usage['answers']:,} answers"]
    said += [f"{usage[name]:,} {name}" for name in ("cached", "failed") if usage[name]]
    known = (("prompt_tokens", "tokens in"), ("new_tokens", "tokens out"))
    said += [f"{usage[name]:,} {words}" for name, words in known if usage[name] is not None]
    said.append(f"{usage['seconds']:.1f} s")
    if usage["answers_per_second"] is not None:
        said.append(f"{usage['answers_per_second']:.3g} answers a second")
    if usage["cost"] is not None:
        said.append(f"cost {usage['cost']:.6g}")
    return ", ".join(said)


def _settings() -> runner.Settings:
    """What the flags say is evaluated."""
    if cli.flag("predictions"):
        model = cli.flag("model") or Path(cli.flag("predictions")).stem
        benchmarks = cli.flag("benchmarks") or runner.UNNAMED
    else:
        model, benchmarks = cli.required("model"), cli.required("benchmarks")
    return runner.Settings(
        model=model,
        engine="" if cli.flag("predictions") else cli.flag("engine"),
        benchmarks=benchmarks,
        data_dir=cli.flag("data_dir") or "",
        limit=cli.flag("limit"),
        prompt=cli.flag("prompt"),
        blind=cli.flag("blind"),
        predictions=cli.flag("predictions") or "",
        **{name: cli.flag(name) for name in SAMPLING},
    )


def _probes() -> probes_lib.Probes:
    """What the flags say is looked at besides."""
    names = [field.name for field in dataclasses.fields(probes_lib.Probes)]
    return probes_lib.Probes(**{name: cli.flag(name) for name in names})


def _compare(runs: list[str], address: str) -> None:
    """Writes and prints how two finished evaluations differ."""
    if len(runs) != 2:
        raise errors.UserError(f"--compare takes two folders, DIR,DIR, got {len(runs)}")
    first, second = map(paths.fetched, runs)
    with paths.opened(address) as output_dir:
        compare.run(first, second, output_dir)
    print(f"comparison: {address}/compare.html")


def _part() -> answering.Part | None:
    """The shard that the flags name; None where they name none."""
    count, index = cli.flag("num_shards"), cli.flag("shard")
    if count is None and index is None:
        return None
    if index is None or count is None:
        missing = "shard" if index is None else "num_shards"
        raise errors.UserError(f"--num_shards and --shard go together; --{missing} is missing")
    part = answering.Part(index=index, count=count)
    part.validate()
    return part


def _choose(
    settings: runner.Settings, options: registry.Options, wanted: str
) -> tuple[runner.Settings, contextlib.AbstractContextManager[Callable[[], protocol.Engine]]]:
    """The settings with all that decides answers, and what makes the engine and closes it."""
    choice = registry.choose(settings.engine, settings.model, options=options)
    peer = peers.choose(wanted, choice)
    choice = peers.apply(peer, choice)
    settings.validate()
    choice.check(settings.sampling)

    @contextlib.contextmanager
    def making() -> Iterator[Callable[[], protocol.Engine]]:
        with contextlib.ExitStack() as stack:  # made once, for the probes too
            yield functools.cache(lambda: stack.enter_context(contextlib.closing(choice.make())))

    found = {**choice.settings(), "peer": peers.describe(peer)}
    return dataclasses.replace(settings, **found), making()


@contextlib.contextmanager
def _hosts(engine: str, part: answering.Part | None) -> Iterator[answering.Part]:
    """Joins the hosts that JAX is told of, if any, and says which part this one takes.

    They end together: the first of them keeps what all are joined by.
    """
    if engine != "jax":
        yield part or runner.WHOLE
        return
    import jax

    from lingshu_jax.common import runtime

    runtime.start(several_hosts=True)
    if not jax.distributed.is_initialized():
        yield part or runner.WHOLE
        return
    found = answering.Part(index=jax.process_index(), count=jax.process_count())
    try:
        yield part or found
    except errors.UserError:
        runtime.wait_for_all("evaluated")
        raise
    runtime.wait_for_all("evaluated")


if __name__ == "__main__":
    cli.run(main, define_flags)
