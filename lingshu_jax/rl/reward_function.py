# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A reward function of the user's own: `--config.rl.reward.function=path.py:name`.

    def reward(completion, question, finish_reason):
        ...

`completion` is the text, without the stop token; `question` a `rewards.Question` with text, gold,
answer_type, options and aliases; `finish_reason` is "stop" or "length". It returns

    a number            the total
    a dict of numbers   terms by name; the total is their sum
    a rewards.Reward    everything

The same text must always earn the same, and have the same terms. `format` and `accuracy`, which
held-out questions and monitors read, are the default's where the function gives none.
"""

import importlib.util
import math
import numbers
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.rl import rewards

# What a user's code raises; its own classes, out of it, keep their trace.
_FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError),
)
_STATUS = "function"


class FunctionReward:
    """Calls a user's function and checks what it returns."""

    def __init__(self, function: Callable[..., Any], name: str, *, default: rewards.FormatAccuracy):
        """Takes the function.

        Args:
          function: See the top of this file.
          name: As given, for messages.
          default: Gives the terms that the function leaves out.
        """
        self._function, self._name, self._default = function, name, default
        self._terms: frozenset[str] | None = None

    def __call__(
        self, completion: str, question: rewards.Question, *, finish_reason: str
    ) -> rewards.Reward:
        """Judges a completion.

        Args:
          completion: As of `rewards.RewardFn`.
          question: What was asked.
          finish_reason: "stop" or "length".

        Raises:
          UserError: If the function fails, or returns anything else than it may.
        """
        try:
            returned = self._function(completion, question, finish_reason=finish_reason)
        except _FAULTS as error:
            raise errors.UserError(f"{self._name} raised {_said(error)}") from error
        given = self._read(returned)
        if self._terms is None:
            self._terms = frozenset(given.terms)
        if self._terms != frozenset(given.terms):
            raise errors.UserError(
                f"{self._name} returned the terms {sorted(given.terms)}, before"
                f" {sorted(self._terms)}: they must always be the same"
            )
        default = self._default(completion, question, finish_reason=finish_reason)
        return rewards.Reward(
            given.total,
            {**default.terms, **given.terms},
            given.status or default.status,
            default.parsed if given.parsed is None else given.parsed,
        )

    def _read(self, returned: Any) -> rewards.Reward:
        if isinstance(returned, rewards.Reward):
            terms = {name: self._number(value) for name, value in returned.terms.items()}
            return returned._replace(total=self._number(returned.total), terms=terms)
        if isinstance(returned, Mapping):
            terms = {str(name): self._number(value) for name, value in returned.items()}
            if not terms:
                raise errors.UserError(f"{self._name} returned no terms")
            return rewards.Reward(math.fsum(terms.values()), terms, "", None)
        total = self._number(returned)
        return rewards.Reward(total, {_STATUS: total}, "", None)

    def _number(self, value: Any) -> float:
        if isinstance(value, numbers.Real) and math.isfinite(value):
            return float(value)
        raise errors.UserError(
            f"{self._name} must return a finite number, a dict of such or a Reward,"
            f" got {value!r:.60}"
        )


def load(given: str, *, field: str, default: rewards.FormatAccuracy) -> FunctionReward:
    """The function of a file; the file's code is run.

    Args:
      given: `path.py:name`.
      field: Where it was given, for messages.
      default: Of `FunctionReward`.

    Raises:
      UserError: If there is no such file or function, or the file cannot be run.
    """
    place, _, name = given.rpartition(":")
    path = pathlib.Path(place)
    if not place or path.suffix != ".py" or not name.isidentifier():
        raise errors.UserError(f"{field} must be path.py:name, got {given!r}")
    if not path.is_file():
        raise errors.UserError(f"{field}: no such file: {path}")
    module_name = f"reward_function_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise errors.UserError(f"{field}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except _FAULTS as error:
        raise errors.UserError(f"{field}: {path} cannot be run: {_said(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = sorted(key for key, value in vars(module).items() if callable(value))
        raise errors.UserError(
            f"{field}: {path} has no function {name!r}; it has {', '.join(functions) or 'none'}"
        )
    return FunctionReward(function, given, default=default)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
