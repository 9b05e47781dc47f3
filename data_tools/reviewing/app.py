# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The page and what it asks for (`common/web.py` stands before it)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import logging
from starlette import concurrency, requests, responses, routing

from data_tools.reviewing import decisions, items, ratings, verdicts, windows
from lingshu_jax.common import errors

OPEN, DECIDED, SKIPPED, CLOSED = "open", "decided", "skipped", "closed"
MOST_BYTES = 2**22  # of a request
FILES = {
    "/": ("page.html", "text/html"),
    "/app.css": ("app.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/viewer.js": ("viewer.js", "text/javascript"),
    "/dialogs.js": ("dialogs.js", "text/javascript"),
    "/outbox.js": ("outbox.js", "text/javascript"),
    "/panels.js": ("panels.js", "text/javascript"),
}


class Review:
    """A review that is going on: the data, the decisions, and who sees what."""

    def __init__(self, data: items.Data, store: decisions.Store, overlap: int):
        """Begins.

        Args:
          data: What is reviewed.
          store: Where decisions go.
          overlap: How many reviewers an item is given to; 0: all.
        """
        self.data, self.store, self.overlap = data, store, overlap
        self._secret = bytes.fromhex(store.private["secret"])

    def queue(self, name: str) -> dict[str, Any]:
        """All items in a reviewer's order, with their state.

        Args:
          name: As the reviewer typed it.
        """
        reviewer = self.store.enter(name)
        histories = self.store.histories()
        ordered = items.order(self.data, self._secret, reviewer)
        return {
            "review": items.draw(self._secret, "", "review").hex()[:16],
            "reasons": verdicts.REASONS,
            "items": [
                [item.key, item.task, self._state(item, reviewer, histories)] for item in ordered
            ],
        }

    def show(self, name: str, key: str) -> dict[str, Any]:
        """An item as a reviewer may see it.

        Args:
          name: As of `queue`.
          key: Of the item.
        """
        reviewer, item = self.store.enter(name), self.item(key)
        histories = self.store.histories()
        swapped = items.is_swapped(item, self._secret, reviewer)
        told = items.shown(item, swapped=swapped)
        told["state"] = self._state(item, reviewer, histories)
        mine = histories[reviewer].decided.get(key) if reviewer in histories else None
        told["mine"] = verdicts.told(item, mine, swapped=swapped) if mine else None
        told["origin"] = self._origin(item, reviewer, histories, swapped)
        return told

    def decide(self, name: str, sent: Any) -> dict[str, Any]:
        """Keeps a decision, and says how the item stands.

        Args:
          name: As of `queue`.
          sent: By the page.

        Raises:
          UserError: If it says nothing that may be decided, or cannot be saved.
        """
        reviewer = self.store.enter(name)
        if not isinstance(sent, dict):
            raise errors.UserError("a decision must be an object")
        number, item = verdicts.number(sent), self.item(str(sent.get("item")))
        swapped = items.is_swapped(item, self._secret, reviewer)
        self.store.add(reviewer, number, verdicts.checked(item, sent, swapped=swapped))
        histories = self.store.histories()
        return {
            "item": item.key,
            "state": self._state(item, reviewer, histories),
            "origin": self._origin(item, reviewer, histories, swapped),
        }

    def agreement(self) -> dict[str, Any]:
        """As of `ratings.summarise`."""
        return ratings.summarise(self.data, self.store.histories(), self.store.private["secret"])

    def picture(self, key: str, place: int) -> Any:
        """A picture of an item.

        Args:
          key: Of the item.
          place: From 0.

        Raises:
          UserError: If there is none.
        """
        pictures = self.item(key).rows[0].pictures
        if not 0 <= place < len(pictures):
            raise errors.UserError("there is no such picture")
        return pictures[place]

    def item(self, key: str) -> items.Item:
        """An item by its key.

        Args:
          key: As the page has it.

        Raises:
          UserError: If there is none.
        """
        if key not in self.data.items:
            raise errors.UserError("there is no such item; the data may have changed")
        return self.data.items[key]

    def _state(
        self, item: items.Item, reviewer: str, histories: dict[str, decisions.History]
    ) -> str:
        own = histories.get(reviewer)
        if own and item.key in own.decided:
            return DECIDED
        if decisions.is_closed(item, reviewer, histories, self.overlap):
            return CLOSED
        return SKIPPED if own and item.key in own.standing else OPEN

    def _origin(
        self,
        item: items.Item,
        reviewer: str,
        histories: dict[str, decisions.History],
        swapped: bool,
    ) -> dict[str, Any] | None:
        """Where its rows come from and what others say; None while the reviewer is to be blind.

        That is as long as anything is left to decide about its rows, or about those that they are
        compared with: where there are two models, to know the one is to know the other.
        """
        near = [other for row in item.rows for other in self.data.by_row[row.key]]
        every = [x for other in near for row in other.rows for x in self.data.by_row[row.key]]
        states = [self._state(other, reviewer, histories) for other in every]
        if self._state(item, reviewer, histories) != DECIDED or {OPEN, SKIPPED} & set(states):
            return None
        others = [
            verdicts.told(item, history.decided[item.key], swapped=swapped)["verdict"]
            for key, history in histories.items()
            if key != reviewer and item.key in history.decided
        ]
        rows = item.rows[::-1] if swapped and item.task == items.COMPARE else item.rows
        return {"rows": [items.provenance(row) for row in rows], "others": sorted(others)}


def routes(review: Review) -> list[routing.BaseRoute]:
    """The routes of the page, for `web.make_app`.

    Args:
      review: What is served.
    """
    folder = Path(__file__).parent
    files = [
        routing.Route(path, _file((folder / name).read_bytes(), kind))
        for path, (name, kind) in FILES.items()
    ]

    def queue(request: requests.Request) -> responses.Response:
        return _answer(lambda: review.queue(request.query_params.get("reviewer", "")))

    def item(request: requests.Request) -> responses.Response:
        name = request.query_params.get("reviewer", "")
        return _answer(lambda: review.show(name, request.path_params["item"]))

    def agreement(request: requests.Request) -> responses.Response:
        del request
        return _answer(review.agreement)

    def picture(request: requests.Request) -> responses.Response:
        found = request.path_params
        return _pixels(
            lambda: _json(windows.describe(review.picture(found["item"], found["place"])))
        )

    def frame(request: requests.Request) -> responses.Response:
        found = request.path_params
        return _pixels(
            lambda: _frame(review.picture(found["item"], found["place"]), found["frame"])
        )

    async def decide(request: requests.Request) -> responses.Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return _json({"error": "too much at a time"}, 413)
        return await concurrency.run_in_threadpool(_decide, review, body)

    return [
        *files,
        routing.Route("/api/queue", queue),
        routing.Route("/api/items/{item}", item),
        routing.Route("/api/agreement", agreement),
        routing.Route("/api/pictures/{item}/{place:int}", picture),
        routing.Route("/api/pictures/{item}/{place:int}/{frame:int}", frame),
        routing.Route("/api/decisions", decide, methods=["POST"]),
    ]


def _decide(review: Review, body: bytes) -> responses.Response:
    try:
        sent = json.loads(body)
    except ValueError:
        return _json({"error": "no JSON"}, 400)
    if not isinstance(sent, dict):
        return _json({"error": "no decision"}, 400)
    return _answer(lambda: review.decide(str(sent.get("reviewer")), sent.get("decision")))


def _file(content: bytes, kind: str) -> Callable[[requests.Request], responses.Response]:
    return lambda request: responses.Response(content, media_type=kind)


def _answer(found: Callable[[], dict[str, Any]]) -> responses.Response:
    try:
        return _json(found())
    except decisions.SaveError as error:
        logging.error("%s", error)
        return _json({"error": str(error)}, 503)
    except errors.UserError as error:
        return _json({"error": str(error)}, 400)


def _pixels(found: Callable[[], responses.Response]) -> responses.Response:
    """A picture, or that there is none: why is for the log, since a path may say too much."""
    try:
        return found()
    except (errors.UserError, OSError) as error:
        logging.warning("a picture cannot be shown: %s", error)
        return _json({"error": "this picture cannot be shown"}, 404)


def _frame(picture: Any, place: int) -> responses.Response:
    found = windows.frame(picture, place)
    if found is None:
        return _json({"error": "there is no such frame"}, 404)
    if found.width is None:
        return responses.Response(found.content, media_type="image/png")
    headers = {"x-low": repr(found.low), "x-step": repr(found.step), "x-width": str(found.width)}
    return responses.Response(found.content, media_type="application/octet-stream", headers=headers)


def _json(content: Any, status: int = 200) -> responses.Response:
    """JSON in ASCII: half a surrogate pair in a row is no reason to show nothing."""
    return responses.Response(json.dumps(content), status, media_type="application/json")
