# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Held-out verifiable questions, and how many of them are answered without seeing the image."""

import dataclasses
from collections.abc import Sequence

from lingshu_jax.engines import protocol
from lingshu_jax.rl import questions, rollout

STREAM = 1  # of random draws; training uses 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exam:
    """Questions that training never sees.

    Attributes:
      prompts: The questions.
      sampler: How they are answered in sampling mode.
      greedy: Answers them greedily as well.
      blind_probe: Asks them with every image greyed out as well.
    """

    prompts: Sequence[questions.Prompt]
    sampler: rollout.Sampler
    greedy: bool
    blind_probe: bool

    def take(self, engine: protocol.Generator, *, step: int) -> dict[str, float | None]:
        """Asks everything.

        Args:
          engine: Holds the weights to be examined.
          step: Optimizer steps that they have taken.

        Returns:
          `eval/accuracy`, `eval/format` and `eval/greedy_accuracy`, the same under `blind/`,
          and `blind/share`: blind over seeing accuracy, None where the latter is 0. Seeing and
          blind answers are drawn with the same random numbers.
        """
        scores: dict[str, float | None] = {"eval/step": float(step)}
        scores |= self._ask("eval", self.prompts, engine, step)
        if self.blind_probe:
            blind = [questions.without_images(prompt) for prompt in self.prompts]
            scores |= self._ask("blind", blind, engine, step)
            seeing, unseeing = scores["eval/accuracy"], scores["blind/accuracy"]
            scores["blind/share"] = unseeing / seeing if seeing and unseeing is not None else None
        return scores

    def _ask(
        self, name: str, prompts: Sequence[questions.Prompt], engine: protocol.Generator, step: int
    ) -> dict[str, float]:
        groups = rollout.collect(prompts, engine, self.sampler, step=step)
        scores = {
            f"{name}/accuracy": rollout.term_mean(groups, "accuracy"),
            f"{name}/format": rollout.term_mean(groups, "format"),
        }
        if self.greedy:
            plain = dataclasses.replace(self.sampler, temperature=0.0, samples=1)
            answered = rollout.collect(prompts, engine, plain, step=step)
            scores[f"{name}/greedy_accuracy"] = rollout.term_mean(answered, "accuracy")
        return scores
