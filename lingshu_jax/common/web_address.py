# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Where a command serves a page; apart from `web.py`, which needs libraries of an extra."""

import ipaddress
from typing import NamedTuple

from absl import flags

from lingshu_jax.common import cli, errors


def define_flags() -> None:
    """Defines the flags that say where a page is served."""
    flags.DEFINE_string("host", Address().host, "Interface; others than this machine's are told.")
    flags.DEFINE_integer("port", Address().port, "0 takes a free one.")


class Address(NamedTuple):
    """Where a page is served.

    Attributes:
      host: Name or number of an interface of this machine.
      port: 0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: int = 0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def validate(self) -> None:
        """Raises UserError where it is none."""
        if not 0 <= self.port <= 65_535:
            raise errors.UserError(f"--port must be 0 to 65535, got {self.port}")
        if not self.host or any(mark in self.host for mark in "/@ "):
            raise errors.UserError(
                f"--host must be a name or number of this machine, as 127.0.0.1, got {self.host!r}"
            )


def from_flags() -> Address:
    """What the flags of `define_flags` say."""
    return Address(host=cli.flag("host"), port=cli.flag("port"))
