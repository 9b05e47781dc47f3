# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Paid answers on disk, found again by what was asked.

    FOLDER/ab/ab12...ef.0.json      an answer: the digest of the question, and which sample it is
    FOLDER/locks/ab1                held while such a question is being asked

A file appears whole, so a SIGKILL leaves an answer or none. While a question is being asked, others
that are equal wait for its answer, in this process and in others; what is killed lets go.
"""

import contextlib
import hashlib
import json
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import filelock

from lingshu_jax.common import errors

_LOCK_DIGITS = 3  # of a digest: questions that agree in them wait for each other


class AnswerCache:
    """Answers, which are JSON objects, by digest and sample."""

    def __init__(self, folder: pathlib.Path):
        """Makes the folder.

        Args:
          folder: May be shared by processes and by engines of all kinds.

        Raises:
          UserError: If it is a file.
        """
        if folder.exists() and not folder.is_dir():
            raise errors.UserError(f"{folder} is a file; a cache needs a folder")
        self._folder, self._locks = folder, folder / "locks"
        self._locks.mkdir(parents=True, exist_ok=True)

    @contextlib.asynccontextmanager
    async def asking(self, key: str) -> AsyncIterator[None]:
        """Nobody else asks this question meanwhile.

        Args:
          key: Of the question, from `digest`.
        """
        path = self._locks / key[:_LOCK_DIGITS]
        async with filelock.AsyncFileLock(path, thread_local=False, run_in_executor=False):
            yield

    def get(self, key: str, sample: int) -> dict[str, Any] | None:
        """The answer, None where there is none.

        Args:
          key: Of the question.
          sample: Which of its answers, from 0.

        Raises:
          UserError: If the file is damaged.
        """
        path = self._path(key, sample)
        try:
            answer = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise errors.UserError(
                f"{path} is damaged; without it the question is asked (and paid) again"
            )
        return answer

    def put(self, key: str, sample: int, answer: dict[str, Any]) -> None:
        """Keeps an answer; one that is there already is replaced.

        Args:
          key: Of the question.
          sample: Which of its answers.
          answer: Of JSON values.
        """
        path = self._path(key, sample)
        path.parent.mkdir(exist_ok=True)
        # A name of its own: two processes may keep the same answer at the same moment.
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=path.name, suffix=".partial", delete=False
        ) as file:
            partial = pathlib.Path(file.name)
            try:
                file.write(json.dumps(answer))
                file.close()
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def _path(self, key: str, sample: int) -> pathlib.Path:
        return self._folder / key[:2] / f"{key}.{sample}.json"


def digest(question: Any) -> str:
    """The key of a question: equal for equal JSON values, whatever the order of their keys.

    Args:
      question: All that decides the answer, images as their bytes in base64.
    """
    text = json.dumps(question, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
