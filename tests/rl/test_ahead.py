# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Work in a thread of its own: its result, its error and its end."""

import threading
from collections.abc import Iterator

import pytest

from lingshu_jax.rl import ahead


@pytest.fixture
def worker() -> Iterator[ahead.Ahead[int]]:
    worker: ahead.Ahead[int] = ahead.Ahead()
    yield worker
    worker.close()


def test_the_result_is_that_of_another_thread(worker: ahead.Ahead[int]) -> None:
    for _ in range(2):
        assert not worker.is_begun
        worker.begin(threading.get_ident)
        assert worker.is_begun
        assert worker.take() != threading.get_ident()


def test_an_error_reaches_who_asks_for_the_result(worker: ahead.Ahead[int]) -> None:
    worker.begin(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        worker.take()
    worker.begin(lambda: 5)
    assert worker.take() == 5


def test_cancelled_work_ends_at_its_next_check(worker: ahead.Ahead[int]) -> None:
    begun, ends = threading.Event(), []

    def work() -> int:
        begun.set()
        try:
            while True:
                worker.check()
        finally:
            ends.append(threading.get_ident())

    worker.begin(work)
    begun.wait()
    worker.cancel()
    assert len(ends) == 1 and not worker.is_begun
    worker.begin(lambda: 7)
    assert worker.take() == 7, "what comes after is not cancelled"


def test_closing_ends_the_thread() -> None:
    worker: ahead.Ahead[int] = ahead.Ahead()

    def work() -> int:
        while True:
            worker.check()

    before = threading.active_count()
    worker.begin(work)
    worker.close()
    assert threading.active_count() == before
