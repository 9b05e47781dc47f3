# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How a server is asked: what users may choose, and what is secret about it."""

import dataclasses
import os
import pathlib
import re
import types
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, protocol

# Which fields of a request a server knows. "openai": those of OpenAI's own API. "vllm": vLLM's
# as well, which gives token ids and log-probabilities. "basic": older ones alone (`max_tokens`).
Dialect = Literal["openai", "vllm", "basic"]
# Fields of decoding that some models refuse, and what a request that lacks them may have asked for.
UNSENDABLE: Mapping[str, tuple[Any, ...]] = types.MappingProxyType(
    {
        "temperature": (0.0, 1.0),
        "top_p": (1.0,),
        "stop": ((),),
        "seed": (),  # any
        "json_schema": ("",),  # Anthropic's endpoint ignores one, DeepSeek's refuses it
    }
)
KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"  # sent to servers that ask for none
_URL_VARIABLE = "OPENAI_BASE_URL"
_HEADERS_VARIABLE = "OPENAI_CUSTOM_HEADERS"  # of the client: NAME: VALUE lines
_SHORTEST_SECRET = 8  # servers without keys are told things like EMPTY
_HIDDEN = "[hidden]"
_SECRET = re.compile("auth|key|token|secret", re.IGNORECASE)  # in the name of a header


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a server is asked; 0 is no limit where nothing else is said.

    Attributes:
      base_url: Of the server, as http://localhost:8000/v1; "" is $OPENAI_BASE_URL, else OpenAI's.
      key_variable: The environment variable that holds the key.
      dialect: Which fields of a request it knows.
      unsent: Of `UNSENDABLE`, those that the model refuses; it decodes as its service does then.
      timeout_seconds: For one try.
      max_retries: Further tries after a 408, 409, 429 or 5xx, a time-out or a broken connection.
      min_concurrency: Requests at a time are never fewer.
      max_concurrency: Nor more.
      requests_per_minute: Sent, further tries included.
      tokens_per_minute: Of prompts and answers.
      max_images: Requests with more are refused; a video counts its frames.
      image_tokens: The most that an image may be; for the budgets.
      cache_folder: Of the answers so far; None keeps none.
      ledger_file: JSONL of what was used; None keeps none.
      terms: Prices and budgets.
    """

    base_url: str = ""
    key_variable: str = KEY_VARIABLE
    dialect: Dialect = "openai"
    unsent: tuple[str, ...] = ()
    timeout_seconds: float = 600.0
    max_retries: int = 5
    min_concurrency: int = 1
    max_concurrency: int = 32
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    max_images: int = protocol.MAX_IMAGES
    image_tokens: int = 16_384  # of Qwen2.5-VL's largest: 12,845,056 pixels of 28 x 28 a token
    cache_folder: pathlib.Path | None = None
    ledger_file: pathlib.Path | None = None
    terms: ledger.Terms = ledger.Terms()

    @property
    def url(self) -> str:
        """`base_url`, or the environment's; "" is OpenAI's."""
        return self.base_url or os.environ.get(_URL_VARIABLE, "")

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        self.validate_limits()
        _check_url(self.url, "base_url" if self.base_url else _URL_VARIABLE)

    def validate_limits(self) -> None:
        """`validate` without the address, for servers that have theirs from us."""
        at_least = {
            "max_retries": 0,
            "min_concurrency": 1,
            "max_concurrency": self.min_concurrency,
            "requests_per_minute": 0,
            "tokens_per_minute": 0,
            "max_images": 0,
            "image_tokens": 1,
        }
        for name, smallest in at_least.items():
            value = getattr(self, name)
            if not smallest <= value < float("inf"):
                raise errors.UserError(f"{name} must be >= {smallest}, got {value}")
        if not 0 < self.timeout_seconds < float("inf"):
            raise errors.UserError(f"timeout_seconds must be > 0, got {self.timeout_seconds}")
        if self.dialect not in get_args(Dialect):
            allowed = ", ".join(get_args(Dialect))
            raise errors.UserError(f"dialect must be one of {allowed}, got {self.dialect!r}")
        for name in self.unsent:
            if name not in UNSENDABLE:
                allowed = ", ".join(UNSENDABLE)
                raise errors.UserError(f"unsent must be of {allowed}, got {name!r}")
        self.terms.validate()


class Secrets:
    """What must not be shown, and leaves texts before they are kept or shown."""

    def __init__(self, values: Iterable[str]):
        """Takes the secrets.

        Args:
          values: Those of fewer than eight characters are none, as EMPTY.
        """
        self._values = sorted({v for v in values if len(v) >= _SHORTEST_SECRET}, key=len)[::-1]

    def hide(self, value: Any) -> Any:
        """A JSON value without the secrets.

        Args:
          value: Of any depth.
        """
        if isinstance(value, str):
            for secret in self._values:
                value = value.replace(secret, _HIDDEN)
            return value
        if isinstance(value, list):
            return [self.hide(part) for part in value]
        if isinstance(value, dict):
            return {self.hide(name): self.hide(part) for name, part in value.items()}
        return value


def read_key(options: Options) -> str:
    """The key from the environment, `NO_KEY` where a server of the user's own needs none.

    Args:
      options: Names the variable and the server.

    Raises:
      UserError: If the variable is not set, and the server is OpenAI's or the user chose the name;
        or if what it holds cannot be sent.
    """
    key = os.environ.get(options.key_variable, "").strip()
    if key:
        _check_secret(key, options.key_variable)
        return key
    if options.url and options.key_variable == KEY_VARIABLE:
        return NO_KEY
    raise errors.UserError(
        f"the environment variable {options.key_variable} is not set: it holds the server's key"
    )


def read_secrets(key: str) -> Secrets:
    """Everything secret that is sent.

    Args:
      key: From `read_key`.

    Raises:
      UserError: If one cannot be sent.
    """
    headers = os.environ.get(_HEADERS_VARIABLE, "").splitlines()
    pairs = (line.partition(":") for line in headers)
    # The last word: "Bearer KEY".
    values = [value.strip().rpartition(" ")[2] for name, _, value in pairs if _SECRET.search(name)]
    for value in values:
        _check_secret(value, _HEADERS_VARIABLE)
    return Secrets([key, *values])


def _check_secret(value: str, variable: str) -> None:
    """HTTP takes nothing else, and what refuses it further down shows it."""
    if not (value.isascii() and value.isprintable()):
        raise errors.UserError(
            f"the environment variable {variable} holds a character that no header may have: "
            "allowed are the printable ones of ASCII"
        )


def _check_url(url: str, name: str) -> None:
    """Nothing of an address is shown: what makes it wrong may be a password."""
    if not url:
        return
    if any(mark in url for mark in "@?#"):
        raise errors.UserError(
            f"{name} must have no user, password or query (no @, ? or #): keys come from the "
            "environment"
        )
    try:
        parts = urllib.parse.urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = parts.port is None or parts.port >= 0
    except ValueError:
        is_web, is_address = True, False
    if not is_web:
        raise errors.UserError(
            f"{name} must be an http or https address, as http://localhost:8000/v1"
        )
    if not is_address:
        raise errors.UserError(
            f"{name} is no address; allowed are such as http://localhost:8000/v1"
        )
