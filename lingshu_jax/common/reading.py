# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Reading what may be damaged: all processes of a run hear of it together, in one line."""

import re
import textwrap
from collections.abc import Callable
from concurrent import futures
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from lingshu_jax.common import errors

LONGEST = 400  # characters of a cause


class Unreadable(errors.UserError):
    """Something is damaged: files are missing, cut short or garbled."""


def attempt(work: Callable[[], Any], what: str) -> Any:
    """What `work` returns; all processes call this, and all fail where one does.

    Args:
      work: Reads something, without waiting for other processes.
      what: For the message.

    Raises:
      Unreadable: If reading failed on any process.
      UserError: If what was read is of no use here; `work` raised it.
    """
    with futures.ThreadPoolExecutor(1) as pool:
        # A future holds whatever was raised: orbax raises a bare Exception for a missing chunk.
        future = pool.submit(work)
        error = future.exception()
    if isinstance(error, errors.UserError) and not isinstance(error, Unreadable):
        raise error
    failed = np.array([error is not None])
    if jax.process_count() > 1:
        failed = multihost_utils.process_allgather(failed)
    if isinstance(error, Unreadable):
        raise error
    if error is not None:
        raise Unreadable(f"{what} cannot be read: {reason(error)}") from error
    if np.any(failed):
        raise Unreadable(f"{what} cannot be read by process {int(np.argmax(failed))}")
    return future.result()


def reason(error: BaseException) -> str:
    """What went wrong at the bottom of it, in one line.

    Args:
      error: As it was caught.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    # orbax adds pages of the array's specification
    text = " ".join(str(error).partition(" See full TensorStore details")[0].split())
    # tensorstore: the path in full at every level, the cause, then codes as [os_error_code='28']
    text, is_of_tensorstore = re.subn(r" \[\w+=.*", "", text)
    text = text.rpartition(": ")[2] if is_of_tensorstore else f"{type(error).__name__}: {text}"
    return textwrap.shorten(text, LONGEST, placeholder=" ...")
