# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One piece of work in a thread of its own, while the main thread trains."""

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Cancelled(Exception):
    """Ends work whose result nobody wants any more."""


class Ahead(Generic[Result]):
    """Does one thing at a time; what it raises is raised where the result is asked for."""

    def __init__(self):
        """Nothing is begun."""
        self._executor = futures.ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._is_cancelled = threading.Event()
        self._future: futures.Future[Result] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether there is a result to take, now or later."""
        return self._future is not None

    def begin(self, make: Callable[[], Result]) -> None:
        """Begins the work; what was begun before must have been taken.

        Args:
          make: Calls `check` now and then.
        """
        assert self._future is None
        self._is_cancelled.clear()
        self._future = self._executor.submit(make)

    def check(self) -> None:
        """Raises Cancelled, inside the work, where it was cancelled."""
        if self._is_cancelled.is_set():
            raise Cancelled

    def take(self) -> Result:
        """The result; waits for it."""
        assert self._future is not None
        future, self._future = self._future, None
        return future.result()

    def cancel(self) -> None:
        """Ends the work at its next `check` and waits for that; does nothing where none is."""
        if self._future is None:
            return
        self._is_cancelled.set()
        future, self._future = self._future, None
        futures.wait([future])

    def close(self) -> None:
        """Cancels, and ends the thread."""
        self.cancel()
        self._executor.shutdown()
