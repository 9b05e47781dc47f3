# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What each token counts in the loss of an update, and what length costs; pure, on the host.

All completions of an update are known before its first pass, so the one division of the loss is
done here, over all of them: passes, packed rows and devices only add.

Axes: Q prompts of an update, R rollouts per prompt.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from lingshu_jax.engines import protocol

AGGREGATIONS = ("token", "sequence", "constant")


class CompletionWeights(NamedTuple):
    """How the tokens of an update count.

    Attributes:
      values: Weight of every token of a completion. With them the loss is a plain sum.
      filtered: Completions that were left out; their weight is 0.
    """

    values: Float32[np.ndarray, "Q R"]
    filtered: int


def completion_weights(
    groups: Sequence[Sequence[protocol.Completion]],
    *,
    aggregation: str,
    max_new_tokens: int,
    overlong_filter: bool = False,
) -> CompletionWeights:
    """Weights with which an update's loss is the sum over its tokens.

        token      w_i = 1 / sum_j n_j        the mean over all tokens
        sequence   w_i = 1 / (N n_i)          the mean of each completion's mean
        constant   w_i = 1 / (N_all n_max)    each completion's sum over a constant, their mean

    with n_i tokens in completion i, N completions that were not left out, N_all in all, and n_max
    as `max_new_tokens`.

    Args:
      groups: The completions of each prompt of one update.
      aggregation: "token", "sequence" or "constant".
      max_new_tokens: Where completions are cut.
      overlong_filter: Leaves out completions that were cut: whether they would have been right is
        not known. Where all of an update were, all weights are 0.

    Returns:
      Finite weights, and how many completions were left out.

    Source: "sequence" arXiv:2402.03300, eq. 3; "token" arXiv:2503.14476, eq. 8, there over each
    group by itself, here over the whole update as in verl and EasyR1; "constant"
    arXiv:2503.20783, section 3.2 and listing 1, with the longest completion as the constant; the
    filter arXiv:2503.14476, section 3.4, whose completions a constant goes on to count.
    """
    lengths = np.array([[len(c.tokens) for c in group] for group in groups], np.float64)
    is_cut = np.array([[c.finish_reason == "length" for c in group] for group in groups])
    is_left_out = is_cut & overlong_filter
    kept = np.where(is_left_out, 0.0, 1.0)
    if aggregation == "token":
        values = kept / max((kept * lengths).sum(), 1.0)
    elif aggregation == "sequence":
        values = kept / (max(kept.sum(), 1.0) * lengths)
    elif aggregation == "constant":
        values = kept / (kept.size * max_new_tokens)
    else:
        raise ValueError(f"aggregation must be one of {AGGREGATIONS}, got {aggregation!r}")
    return CompletionWeights(values.astype(np.float32), int(is_left_out.sum()))


def overlong_penalty(length: int, max_new_tokens: int, buffer: int) -> float:
    """Reward term of a completion's length: 0, then falling to -1 over the last `buffer` tokens.

        penalty = min(0, (max_new_tokens - buffer - length) / buffer)

    Args:
      length: Tokens of the completion, at most `max_new_tokens`.
      max_new_tokens: Where completions are cut.
      buffer: Over how many tokens it falls; 0 is no penalty.

    Source: arXiv:2503.14476, eq. 13.
    """
    if buffer == 0:
        return 0.0
    return min(0.0, (max_new_tokens - buffer - length) / buffer)
