# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Held-out verifiable questions, and how many of them are answered without the right image.

Two probes ask the same questions again: blind, with every image greyed out, and shuffled, with
the images of another question. What is still right there was not read from the image. Grey
pictures look like nothing a model has seen, shuffled ones like all it has; who trusts a share
has seen both.

Axes: Q questions, N draws of a bootstrap.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from lingshu_jax.data import messages, packing
from lingshu_jax.engines import protocol
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import questions, rollout

STREAM = 1  # of random draws; training uses 0
RESAMPLES = 1000
ACCURACY = "accuracy"


class _Asked(NamedTuple):
    """Scores by name, and the accuracy term of each question; empty where there is no such."""

    scores: dict[str, float | None]
    accuracy: Float64[np.ndarray, " Q"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exam:
    """Questions that training never sees.

    Attributes:
      prompts: The questions.
      sampler: How they are answered in sampling mode.
      greedy: Answers them greedily as well.
      blind_probe: Asks them with every image greyed out as well.
      shuffled: The same questions with other images, None for one that has none; empty leaves
        this probe out.
    """

    prompts: Sequence[questions.Prompt]
    sampler: rollout.Sampler
    greedy: bool
    blind_probe: bool
    shuffled: Sequence[questions.Prompt | None] = ()

    def take(self, engine: protocol.Generator, *, step: int) -> dict[str, float | None]:
        """Asks everything.

        Args:
          engine: Holds the weights to be examined.
          step: Optimizer steps that they have taken.

        Returns:
          `eval/<term>` of every term of the reward and `eval/greedy_accuracy`; the same under
          `blind/` and `shuffled/`, there over `shuffled/questions` questions; and, of each probe,
          `share`: its accuracy over the seeing one on the same questions, with a 95 % interval
          `share_low` to `share_high`; None where nothing was right. All three are drawn with the
          same random numbers.
        """
        scores: dict[str, float | None] = {"eval/step": float(step)}
        everyone = list(range(len(self.prompts)))
        seeing = self._ask("eval", self.prompts, everyone, engine=engine, step=step)
        scores |= seeing.scores
        for name, prompts, chosen in self._probes():
            probed = self._ask(name, prompts, chosen, engine=engine, step=step)
            scores |= probed.scores
            if len(seeing.accuracy):
                found = share(probed.accuracy, seeing.accuracy[chosen])
                scores |= {f"{name}/{key}": value for key, value in found.items()}
            if len(chosen) < len(everyone):
                scores[f"{name}/questions"] = float(len(chosen))
        return scores

    def _probes(self) -> Iterator[tuple[str, list[questions.Prompt], list[int]]]:
        """Name, what is asked, and which of it counts."""
        if self.blind_probe:
            blind = [questions.without_images(prompt) for prompt in self.prompts]
            yield "blind", blind, list(range(len(blind)))
        chosen = [place for place, prompt in enumerate(self.shuffled) if prompt is not None]
        if chosen:
            # Those without other images are asked as they are: the others keep their draws.
            pairs = zip(self.shuffled, self.prompts, strict=True)
            yield "shuffled", [other or prompt for other, prompt in pairs], chosen

    def _ask(
        self,
        name: str,
        prompts: Sequence[questions.Prompt],
        chosen: Sequence[int],
        *,
        engine: protocol.Generator,
        step: int,
    ) -> _Asked:
        answered = rollout.collect(prompts, engine, self.sampler, step=step)
        groups = [answered[place] for place in chosen]
        terms = groups[0].rewards[0].terms
        scores: dict[str, float | None] = {
            f"{name}/{term}": rollout.term_mean(groups, term) for term in terms
        }
        if ACCURACY not in terms:
            return _Asked(scores, np.zeros(0))
        if self.greedy:
            plain = dataclasses.replace(self.sampler, temperature=0.0, samples=1)
            certain = rollout.collect(prompts, engine, plain, step=step)
            certain = [certain[place] for place in chosen]
            scores[f"{name}/greedy_accuracy"] = rollout.term_mean(certain, ACCURACY)
        return _Asked(scores, np.array([rollout.term_mean([g], ACCURACY) for g in groups]))


def make(
    config: rl_config.RLStageConfig,
    prompts: Sequence[questions.Prompt],
    encoder: messages.Encoder,
    sampler: rollout.Sampler,
) -> Exam:
    """The examination of a run.

    Args:
      config: The stage.
      prompts: The held-out questions.
      encoder: Of the prompts.
      sampler: Of training; only its reward, seed and temperature are taken.
    """
    settings, data = config.rl.eval, config.data
    shuffled: Sequence[questions.Prompt | None] = ()
    if settings.shuffled_probe:
        shuffled = questions.with_other_images(
            prompts,
            encoder,
            seed=data.seed,
            max_prompt_tokens=config.rl.max_prompt_tokens,
            budget=packing.Budget(data.tokens_per_row, data.patches_per_row),
        )
    return Exam(
        prompts=prompts,
        # An answer that is too long is wrong or right here, not dear.
        sampler=dataclasses.replace(
            sampler, samples=settings.samples_per_prompt, stream=STREAM, overlong_buffer=0
        ),
        greedy=settings.greedy,
        blind_probe=settings.blind_probe,
        shuffled=shuffled,
    )


def share(
    probed: Float64[np.ndarray, " Q"], seeing: Float64[np.ndarray, " Q"]
) -> dict[str, float | None]:
    """Which part of the accuracy survives a probe, and how sure that is.

    Args:
      probed: Accuracy of each question in the probe.
      seeing: The same with its own image.

    Returns:
      `share`, the sum of the first over that of the second, `share_low` and `share_high`, the
      2.5th and 97.5th percentile of it when questions are drawn again with both their
      accuracies (paired bootstrap). None where `seeing` is 0 throughout, and the percentiles
      also where more than 2.5 % of the draws hold nothing that was right.
    """
    nothing: dict[str, float | None] = dict.fromkeys(("share", "share_low", "share_high"))
    if not seeing.sum():
        return nothing
    found = {**nothing, "share": float(probed.sum() / seeing.sum())}
    draws = np.random.default_rng(0).integers(len(seeing), size=(RESAMPLES, len(seeing)))
    above, below = probed[draws].sum(axis=1), seeing[draws].sum(axis=1)
    if np.mean(below > 0) < 0.975:
        return found
    low, high = np.percentile(above[below > 0] / below[below > 0], (2.5, 97.5))
    return {**found, "share_low": float(low), "share_high": float(high)}
