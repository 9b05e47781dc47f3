# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Who sees what: the review behind the page, and the command that serves it."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import httpx2
import pytest

from data_tools.reviewing import app, decisions, items
from lingshu_jax.common import errors
from tests.data import dicom_files
from tests.data_tools.reviewing import small_review

SECRETS = (*small_review.SECRETS, *dicom_files.SECRETS)


def number(place):
    return f"{place:032x}"


@contextlib.contextmanager
def reviewing(folder, overlap=0):
    data = items.read(folder)
    with contextlib.closing(decisions.Store(folder / "decisions")) as store:
        yield app.Review(data, store, overlap)


@pytest.fixture
def folder(tmp_path):
    return small_review.write_data(tmp_path / "data")


def approve(review, name, item, place):
    return review.decide(name, {"item": item.key, "number": number(place), "verdict": "approve"})


def state(review, name, item):
    return {key: found for key, _, found in review.queue(name)["items"]}[item.key]


def test_reviewers_are_blind_until_all_about_a_row_is_decided(folder):
    with reviewing(folder) as review:
        pair = small_review.find_pair(review.data, 0)
        said = {"item": pair.key, "number": number(0), "verdict": "a"}
        told = review.decide("Ann", said)
        assert told["state"] == app.DECIDED and told["origin"] is None
        rows = [review.data.by_row[row.key] for row in pair.rows]
        single = [item for found in rows for item in found if item.task == items.APPROVE]
        assert approve(review, "Ann", single[0], 1)["origin"] is None
        assert review.show("Ann", pair.key)["origin"] is None
        told = approve(review, "Ann", single[1], 2)
        origin = review.show("Ann", pair.key)["origin"]
    assert told["origin"]["rows"][0]["model"].startswith(small_review.SECRETS[0])
    assert {row["model"][-1] for row in origin["rows"]} == {"0", "1"}


def test_nobody_learns_what_others_decided_before_deciding(folder):
    with reviewing(folder) as review:
        item = small_review.find(review.data, 4)
        told = approve(review, "Ann", item, 1)
        assert told["origin"]["others"] == []
        before = review.show("Bob", item.key)
        assert before["mine"] is None and before["origin"] is None
        assert "Ann" not in json.dumps([before, review.queue("Bob"), review.agreement()])
        assert approve(review, "Bob", item, 2)["origin"]["others"] == ["approve"]


def test_an_undone_decision_makes_an_item_open_again(folder):
    with reviewing(folder) as review:
        item = small_review.find(review.data, 4)
        approve(review, "Ann", item, 1)
        undo = {"item": item.key, "number": number(2), "verdict": "undo", "undoes": number(1)}
        assert review.decide("Ann", undo)["state"] == app.OPEN
        assert review.show("Ann", item.key)["origin"] is None
        skip = {"item": item.key, "number": number(3), "verdict": "skip"}
        assert review.decide("Ann", skip)["state"] == app.SKIPPED


@pytest.mark.parametrize(("overlap", "expected"), [(0, app.OPEN), (1, app.CLOSED), (2, app.OPEN)])
def test_an_item_is_given_to_so_many_reviewers(folder, overlap, expected):
    with reviewing(folder, overlap) as review:
        item = small_review.find(review.data, 4)
        approve(review, "Ann", item, 1)
        assert state(review, "Bob", item) == expected
        assert state(review, "Ann", item) == app.DECIDED
        approve(review, "Bob", item, 2)  # was on the screen already: it counts
        assert state(review, "Eve", item) == (app.CLOSED if overlap else app.OPEN)
        assert state(review, "Bob", item) == app.DECIDED


def test_reviewers_see_different_orders_and_sides(folder):
    with reviewing(folder) as review:
        orders = {tuple(key for key, *_ in review.queue(f"r{n}")["items"]) for n in range(6)}
        pair = small_review.find_pair(review.data, 0)
        sides = {tuple(review.show(f"r{n}", pair.key)["sides"]) for n in range(12)}
    assert len(orders) == 6 and len(sides) == 2


def test_what_is_not_there_is_refused(folder):
    with reviewing(folder) as review:
        for call in (
            lambda: review.show("Ann", "nothing"),
            lambda: review.decide("Ann", {"item": "nothing", "number": number(1)}),
            lambda: review.decide("Ann", []),
            lambda: review.queue(""),
            lambda: review.picture(small_review.find(review.data, 4).key, 1),
        ):
            with pytest.raises(errors.UserError):
                call()


def enter(client, address):
    site = address.partition("/?")[0]
    assert client.get(address, follow_redirects=True).status_code == 200
    return site


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder that is served, one of its pictures broken, and a client that has the token."""
    folder = small_review.write_data(tmp_path_factory.mktemp("served"))
    (folder / "rows/pictures/broken.png").write_bytes(b"not a picture of DOE^JANE")
    row = {"id": "broken", "messages": small_review.turns("A?", "B.", "broken.png")}
    (folder / "rows/broken.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with small_review.serving(folder) as (_, address), httpx2.Client(timeout=60) as client:
        yield folder, enter(client, address), client


def test_the_page_and_all_it_asks_for_tell_no_secret(served):
    folder, site, client = served
    seen = [client.get(f"{site}{name}") for name in app.FILES]
    queue = client.get(f"{site}/api/queue", params={"reviewer": "Ann"})
    seen.append(queue)
    broken = small_review.alone(items.read(folder), "broken").key
    for key, *_ in queue.json()["items"]:
        told = client.get(f"{site}/api/items/{key}", params={"reviewer": "Ann"})
        seen.append(told)
        for place in range(told.json()["pictures"] if key != broken else 0):
            seen.append(client.get(f"{site}/api/pictures/{key}/{place}"))
            seen.append(client.get(f"{site}/api/pictures/{key}/{place}/0"))
    assert {answer.status_code for answer in seen} == {200}
    assert len(seen) > 40
    for answer in seen:
        told = answer.content.decode("latin-1") + str(answer.headers)
        assert not [secret for secret in SECRETS if secret in told], answer.url
    assert "script-src 'self'" in seen[0].headers["content-security-policy"]
    for place in ("", "/0"):
        answer = client.get(f"{site}/api/pictures/{broken}/0{place}")
        assert answer.status_code == 404
        assert answer.json() == {"error": "this picture cannot be shown"}


def test_what_makes_no_sense_is_refused(served):
    _, site, client = served
    assert httpx2.get(f"{site}/api/queue?reviewer=a").status_code == 401
    assert httpx2.get(f"{site}/?token=wrong").status_code == 401
    for name in ("/api/items/x?reviewer=a", "/api/queue?reviewer=", "/api/pictures/x/0"):
        assert client.get(f"{site}{name}").status_code in (400, 404)
    for body in (b"{", b"[]", b'{"reviewer": "a", "decision": {}}'):
        assert client.post(f"{site}/api/decisions", content=body).status_code == 400
    large = client.post(f"{site}/api/decisions", content=b" " * (app.MOST_BYTES + 1))
    assert large.status_code == 413


def test_a_second_server_of_the_same_folder_is_refused(served):
    command = [sys.executable, "-m", "data_tools.review", f"--data={served[0]}"]
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=small_review.REPOSITORY, timeout=60
    )
    assert told.returncode == 2 and "another process reviews with it" in told.stderr


def test_a_killed_server_comes_back_at_the_same_address_with_all_decisions(folder):
    addresses, sent = [], []
    for turn in range(2):
        with small_review.serving(folder) as (process, address), httpx2.Client() as client:
            addresses.append(address)
            site = enter(client, address)
            queue = client.get(f"{site}/api/queue?reviewer=Ann").json()["items"]
            assert sum(found == app.DECIDED for *_, found in queue) == len(sent)
            for key, task, found in queue:
                if task == items.APPROVE and found == app.OPEN and len(sent) < 3 * (turn + 1):
                    made = {"item": key, "verdict": "approve", "number": number(len(sent))}
                    body = {"reviewer": "Ann", "decision": made}
                    assert client.post(f"{site}/api/decisions", json=body).status_code == 200
                    sent.append(key)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert addresses[0] == addresses[1]
    kept = decisions.read_all(folder / "decisions")["ann"]
    assert [entry["item"] for entry in kept.values()] == sent and len(sent) == 6
