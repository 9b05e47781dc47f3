# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What asking servers has cost, and whether there is money for one more question.

The ledger is a JSONL file that is only appended to: a line when a request is sent, with the most
that it may cost, and another when it is known how it ended. What a kill or a broken connection left
open counts as that most, for it may have been paid. Budgets hold for a ledger, whatever the number
of runs that wrote it; processes at the same time see what the others had spent when they began.
"""

import collections
import dataclasses
import datetime
import json
import pathlib
import uuid
from typing import Any, Literal, NamedTuple

from lingshu_jax.common import errors

# "answered": as the server says. "refused": by status or before it was sent, so nothing is paid.
# "lost": no answer, or none that can be read.
State = Literal["answered", "refused", "lost"]
_PER_MILLION = 1e6


class Usage(NamedTuple):
    """Tokens of a request.

    Attributes:
      tokens_in: Of the prompt, images included.
      tokens_out: Of all its answers.
    """

    tokens_in: int
    tokens_out: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.tokens_in + self.tokens_out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """Prices and budgets, in one currency; 0 is no price and no limit.

    Attributes:
      price_in: Of a million tokens of prompts.
      price_out: Of a million tokens of answers.
      max_cost: The most to be spent.
      max_total_tokens: The most tokens to be used, both kinds together.
    """

    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float = 0.0
    max_total_tokens: int = 0

    def cost(self, usage: Usage) -> float:
        """What tokens cost."""
        paid = usage.tokens_in * self.price_in + usage.tokens_out * self.price_out
        return paid / _PER_MILLION

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise errors.UserError(f"{field.name} must be >= 0, got {value}")
        if self.max_cost and not self.price_in + self.price_out:
            raise errors.UserError(
                f"max_cost = {self.max_cost} needs price_in or price_out, of a million tokens"
            )


class _Attempt(NamedTuple):
    """What one request has used, or may."""

    usage: Usage
    cost: float


class Ledger:
    """The attempts of one engine, after those that its file already has.

    Attributes:
      counts: Of the attempts of this engine, by state; "cached" as well.
      torn: Lines of the file that a kill left unreadable.
    """

    def __init__(self, path: pathlib.Path | None, terms: Terms, *, model: str):
        """Reads what was spent.

        Args:
          path: JSONL, may be missing; None keeps no file.
          terms: Prices and budgets.
          model: Named in the file.

        Raises:
          UserError: If the file is none of a ledger.
        """
        terms.validate()
        self.counts: collections.Counter[str] = collections.Counter()
        self.torn = 0
        self._terms, self._model = terms, model
        self._open: dict[str, tuple[str, _Attempt]] = {}
        self._before = self._ours = _Attempt(Usage(0, 0), 0.0)
        self._refusal = ""
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_cut = self._read(path) if path.exists() else False
            # Unbuffered: a line is one write, so that lines of two processes do not mix.
            self._file = path.open("ab", buffering=0)
            if is_cut:
                self._file.write(b"\n")

    @property
    def is_open(self) -> bool:
        """Whether it is unknown how some request ends."""
        return bool(self._open)

    def refusal(self, worst: Usage) -> str:
        """Why a request must not be sent; "" if it may.

        Args:
          worst: The most that it may use.
        """
        if self._refusal:
            return self._refusal
        open_ = [attempt for _, attempt in self._open.values()]
        spent = _sum([self._before, self._ours, *open_])
        limits = (
            ("max_cost", spent.cost, self._terms.cost(worst), "{:.6g}"),
            ("max_total_tokens", spent.usage.tokens, worst.tokens, "{:,}"),
        )
        for name, used, more, form in limits:
            limit = getattr(self._terms, name)
            if limit and used + more > limit:
                numbers = [form.format(value) for value in (limit, used, more)]
                return (
                    f"the budget {name} = {numbers[0]} does not hold another request: "
                    f"{numbers[1]} are used, and it may use {numbers[2]}"
                )
        return ""

    def stop(self, refusal: str) -> None:
        """From now on every request is refused, smaller ones as well.

        Args:
          refusal: Of the one that no longer fits.
        """
        self._refusal = refusal

    def sent(self, request_id: str, worst: Usage) -> str:
        """Notes a request before it is sent.

        Args:
          request_id: As users know it.
          worst: The most that it may use.

        Returns:
          A name for `settle`.
        """
        name, attempt = uuid.uuid4().hex, _Attempt(worst, self._terms.cost(worst))
        self._open[name] = request_id, attempt
        self._write(name, "sent", request_id, attempt)
        return name

    def settle(self, name: str, state: State, usage: Usage | None = None) -> None:
        """Notes how a request ended; one that is settled already stays so.

        Args:
          name: From `sent`.
          state: How it ended.
          usage: What the server says; without, an answer counts as the most that it may use.
        """
        if name not in self._open:
            return
        request_id, attempt = self._open.pop(name)
        if state == "refused":
            usage = Usage(0, 0)
        if usage is not None:
            attempt = _Attempt(usage, self._terms.cost(usage))
        self.counts[state] += 1
        self._ours = _sum([self._ours, attempt])
        self._write(name, state, request_id, attempt)

    @property
    def ours(self) -> tuple[Usage, float]:
        """Tokens and cost of what this engine has asked and knows the end of."""
        return self._ours.usage, self._ours.cost

    def summary(self) -> str:
        """One line about what this engine has asked."""
        open_ = [attempt for _, attempt in self._open.values()]
        ours = _sum([self._ours, *open_])
        counts = ", ".join(
            f"{self.counts[state]:,} {state}" for state in ("answered", "cached", "refused", "lost")
        )
        cost = f", cost {ours.cost:.6g}" if self._terms.price_in + self._terms.price_out else ""
        before = f" (before: {self._before.cost:.6g})" if cost and self._before.cost else ""
        return (
            f"{self._model}: {counts}; {ours.usage.tokens_in:,} tokens in, "
            f"{ours.usage.tokens_out:,} out{cost}{before}"
        )

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, name: str, state: str, request_id: str, attempt: _Attempt) -> None:
        if self._file is None:
            return
        row = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "attempt": name,
            "state": state,
            "id": request_id,
            "model": self._model,
            **attempt.usage._asdict(),
            "cost": attempt.cost,
        }
        self._file.write(json.dumps(row).encode() + b"\n")

    def _read(self, path: pathlib.Path) -> bool:
        """Sums the file: of each attempt the last line counts. Whether its end is missing."""
        attempts: dict[str, _Attempt] = {}
        line, number = b"\n", 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                except ValueError:
                    self.torn += 1
                    continue
                attempts.update([_attempt_of(row, f"{path}, line {number}")])
        if self.torn == number > 0:
            raise errors.UserError(f"{path} is not a ledger: no line of it is JSON")
        self._before = _sum(attempts.values())
        return not line.endswith(b"\n")


def _attempt_of(row: Any, place: str) -> tuple[str, _Attempt]:
    try:
        usage = Usage(int(row["tokens_in"]), int(row["tokens_out"]))
        return str(row["attempt"]), _Attempt(usage, float(row["cost"]))
    except (KeyError, TypeError, ValueError) as error:
        raise errors.UserError(f"{place} is not a line of a ledger") from error


def _sum(attempts: Any) -> _Attempt:
    total_in = total_out = 0
    cost = 0.0
    for attempt in attempts:
        total_in += attempt.usage.tokens_in
        total_out += attempt.usage.tokens_out
        cost += attempt.cost
    return _Attempt(Usage(total_in, total_out), cost)
