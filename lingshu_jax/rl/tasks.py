# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What stage 4 reads before it trains: prompts, held-out questions, where the weights are."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import manifests, messages, packing, sources
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import questions
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial as initial_weights
from lingshu_jax.stages import inputs

FindInitial = Callable[
    [stage_config.StageConfig, inputs.Mixture, pathlib.Path], initial_weights.Initial
]


class Task(NamedTuple):
    """Everything that is read before training.

    Attributes:
      start: The first weights, also the reference's.
      encoder: Tokenizer and image sizes, of sampler and learner alike.
      prompts: To train on.
      held_out: To examine with; may be empty.
      dropped: Refused rows of both.
      manifest: Of the sources of the prompts.
      held_out_manifest: Of those of the held-out questions; None where there are none.
    """

    start: initial_weights.Initial
    encoder: messages.Encoder
    prompts: list[questions.Prompt]
    held_out: list[questions.Prompt]
    dropped: list[sources.Dropped]
    manifest: manifests.Manifest
    held_out_manifest: manifests.Manifest | None = None


def read(
    config: rl_config.RLStageConfig,
    workdir: pathlib.Path,
    *,
    find_initial: FindInitial = inputs.find_initial,
) -> Task:
    """Reads prompts, held-out questions and the place of the first weights.

    Args:
      config: The stage.
      workdir: The run's folder.
      find_initial: Finds that place.

    Raises:
      UserError: If a source cannot be read or no prompt is left.
    """
    data, exam = config.data, config.rl.eval
    mixture = inputs.read_mixture(data, workdir, epochs=config.epochs)
    start = find_initial(config, mixture, workdir)
    encoder = messages.Encoder(start.assets, min_pixels=data.min_pixels, max_pixels=data.max_pixels)
    train = _make_prompts(config, mixture, encoder)
    if not train.prompts:
        reason = f"; the first: {train.dropped[0].reason}" if train.dropped else ""
        raise errors.UserError(f"no prompt to train on, {len(train.dropped)} dropped{reason}")
    dropped = [*mixture.dropped, *train.dropped]
    manifest = mixture.manifest.counted(dropped)
    if not exam.sources:
        return Task(start, encoder, train.prompts, [], dropped, manifest)
    every = dataclasses.replace(data, sources=exam.sources, without=(), fraction=1.0)
    reading = inputs.read_mixture(every, workdir)
    test = _make_prompts(config, reading, encoder)
    count = len(test.prompts)
    asked = min(exam.prompts or count, count)  # the order begins again after all of them
    places = sorted(itertools.islice(questions.order(count, seed=data.seed), asked))
    refused = [*reading.dropped, *test.dropped]
    return Task(
        start,
        encoder,
        train.prompts,
        [test.prompts[place] for place in places],
        [*dropped, *refused],
        manifest,
        reading.manifest.counted(refused),
    )


def _make_prompts(
    config: rl_config.RLStageConfig, mixture: inputs.Mixture, encoder: messages.Encoder
) -> questions.Prompts:
    made = questions.make_prompts(
        mixture.first_epoch(config.data.seed),
        encoder,
        instruction=config.rl.instruction,
        max_prompt_tokens=config.rl.max_prompt_tokens,
        budget=packing.Budget(config.data.tokens_per_row, config.data.patches_per_row),
        verify_images=config.data.verify_images,
    )
    inputs.require_none(made.dropped, strict=config.data.strict)
    return made
