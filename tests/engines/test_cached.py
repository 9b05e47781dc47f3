# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The cache before an engine of this machine."""

import dataclasses
import io
import pathlib
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.engines import cached, jax_engine, protocol, registry
from tests.engines import stand_in

MADE_WITH = {"engine": "jax", "weights": "0123", "files": "4567", "dtype": ""}
GREEDY = protocol.SamplingParams(max_new_tokens=9)
SAMPLED = dataclasses.replace(GREEDY, temperature=1.0)


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (shade,) * 3).save(file, "PNG")
    return file.getvalue()


def request(
    text: str, *pictures: Any, sampling: protocol.SamplingParams = GREEDY, id: str = "a"
) -> protocol.Request:
    content = [{"type": "image", "image": picture} for picture in pictures]
    content.append({"type": "text", "text": text})
    messages = [{"role": "user", "content": content}]
    return protocol.Request(messages=messages, sampling=sampling, id=id)


@pytest.fixture
def engine() -> stand_in.StandIn:
    return stand_in.StandIn()


@pytest.fixture
def both(engine: stand_in.StandIn, tmp_path: pathlib.Path) -> cached.Cached:
    return cached.Cached(lambda: engine, tmp_path / "cache", MADE_WITH)


def test_a_question_is_asked_once(both: cached.Cached, engine: stand_in.StandIn) -> None:
    assert isinstance(both, protocol.Engine) and isinstance(both, protocol.Metered)
    asked = [request(text, id=text[:1] + str(i)) for i, text in enumerate(("one", "two", "one"))]
    told: dict[int, Any] = {}
    first = both.generate(asked, on_result=told.__setitem__)
    assert first == [told[0], told[1], told[2]]
    assert [answers[0].text for answers in first] == ["eno", "owt", "eno"]
    assert sorted(engine.asked) == ["o0", "t1"] and both.used().cached == 1
    assert both.generate(asked) == first, "with tokens and log-probabilities"
    assert len(engine.asked) == 2 and both.used().cached == 4


def test_another_process_finds_the_answers(both: cached.Cached, tmp_path: pathlib.Path) -> None:
    first = both.generate([request("one")])
    other = stand_in.StandIn()
    again = cached.Cached(lambda: other, tmp_path / "cache", MADE_WITH)
    assert again.generate([request("one")]) == first and other.asked == []
    changed = cached.Cached(lambda: other, tmp_path / "cache", {**MADE_WITH, "weights": "89ab"})
    changed.generate([request("one")])
    assert other.asked == ["a"]


def test_answers_that_were_kept_before_there_were_schemas_are_found(tmp_path: pathlib.Path) -> None:
    for sampling, digits in ((GREEDY, "2b2734b10fe2e3e2"), (SAMPLED, "3452a9bd9969c164")):
        engine = stand_in.StandIn()
        both = cached.Cached(lambda engine=engine: engine, tmp_path, MADE_WITH)
        both.generate([request("one", sampling=sampling)])
        assert [*tmp_path.glob(f"{digits[:2]}/{digits}*.0.json")], [*tmp_path.rglob("*.json")]
        both.generate([request("one", sampling=dataclasses.replace(sampling, json_schema="{}"))])
        assert len(engine.asked) == 2


def test_pictures_count_by_content_wherever_they_lie(
    both: cached.Cached, engine: stand_in.StandIn, tmp_path: pathlib.Path
) -> None:
    paths = [tmp_path / "first.png", tmp_path / "second.png"]
    for path in paths:
        path.write_bytes(png(7))
    both.generate([request("q", str(paths[0]))])
    both.generate([request("q", str(paths[1])), request("q", png(7))])
    assert len(engine.asked) == 1
    paths[0].write_bytes(png(8))
    decoded = Image.new("RGB", (6, 4), (9,) * 3)
    others = [(str(paths[0]),), (png(7), png(7)), (decoded,), ("missing.png",), ()]
    both.generate([request("q", *pictures) for pictures in others])
    assert len(engine.asked) == 1 + len(others)


@pytest.mark.parametrize("frames", ["folder", "list"])
def test_videos_count_by_their_frames(
    both: cached.Cached, engine: stand_in.StandIn, tmp_path: pathlib.Path, frames: str
) -> None:
    def ask(folder: pathlib.Path) -> None:
        names = [str(path) for path in sorted(folder.iterdir())]
        video = str(folder) if frames == "folder" else names
        part = {"type": "video", "video": video}
        messages = [{"role": "user", "content": [part, {"type": "text", "text": "q"}]}]
        both.generate([protocol.Request(messages=messages, sampling=GREEDY)])

    for name, shades in (("a", (1, 2)), ("b", (1, 2)), ("c", (2, 1))):
        (tmp_path / name).mkdir()
        for number, shade in enumerate(shades):
            (tmp_path / name / f"{number}.png").write_bytes(png(shade))
    ask(tmp_path / "a")
    ask(tmp_path / "b")
    assert len(engine.asked) == 1
    ask(tmp_path / "c")
    assert len(engine.asked) == 2


def test_greedy_answers_have_no_seed_and_sampled_ones_do(
    both: cached.Cached, engine: stand_in.StandIn
) -> None:
    for seed in (1, 2):
        for sampling in (GREEDY, SAMPLED):
            both.generate([request("q", sampling=dataclasses.replace(sampling, seed=seed))])
    assert len(engine.asked) == 3
    changes = ({"max_new_tokens": 8}, {"repetition_penalty": 1.1}, {"stop": ("x",)}, {"n": 2})
    for change in changes:
        both.generate([request("q", sampling=dataclasses.replace(GREEDY, **change))])
    assert len(engine.asked) == 3 + len(changes)


def test_failures_are_told_under_their_ids_and_not_kept(
    both: cached.Cached, engine: stand_in.StandIn
) -> None:
    told: dict[int, Any] = {}
    asked = [request("fail", id="x"), request("good", id="y"), request("fail", id="z")]
    assert both.generate(asked, on_result=told.__setitem__)[0::2] == [[], []]
    assert told[0] == protocol.Failure("request 'x': the stand-in fails")
    assert told[2] == protocol.Failure("request 'z': the stand-in fails")
    with pytest.raises(errors.UserError, match="the stand-in fails"):
        both.generate(asked)
    assert sorted(engine.asked) == ["x", "x", "y"]


def test_what_was_answered_before_the_engine_died_is_kept(tmp_path: pathlib.Path) -> None:
    asked = [request(str(i), id=str(i)) for i in range(9)]
    dying = stand_in.StandIn(dies_after=4)
    with pytest.raises(errors.UserError, match="dead"):
        cached.Cached(lambda: dying, tmp_path, MADE_WITH).generate(asked, on_result=lambda *_: None)
    engine = stand_in.StandIn()
    found = cached.Cached(lambda: engine, tmp_path, MADE_WITH).generate(asked)
    assert [answers[0].text for answers in found] == [str(i) for i in range(9)]
    assert sorted(dying.asked + engine.asked) == [str(i) for i in range(9)]


def test_scores_are_kept_as_well(both: cached.Cached, engine: stand_in.StandIn) -> None:
    messages = request("q").messages
    asked = [
        protocol.ScoreRequest(messages=messages, continuations=continuations)
        for continuations in (("yes", "no"), ((1, 2),), ("yes", "no"))
    ]
    assert both.score(asked) == both.score(asked)
    assert len(engine.asked) == 2


def test_the_registry_puts_it_before_the_jax_engine(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = dataclasses.replace(registry.DEFAULTS.server, cache_folder=tmp_path / "cache")
    options = registry.Options(rows=2, server=server)
    engine = registry.make("jax", str(small_folder), options=options)
    assert isinstance(engine, cached.Cached)
    asked = [request("what?", sampling=protocol.SamplingParams(max_new_tokens=3))]
    answers = engine.generate(asked)
    used = engine.used()
    assert used.tokens_out == len(answers[0][0].tokens) and used.tokens_in > 5
    engine.close()

    def refuse(*_: Any, **__: Any) -> Any:
        raise errors.UserError("an engine is needed")

    assert not isinstance(registry.make("jax", str(small_folder)), cached.Cached)
    monkeypatch.setattr(jax_engine.JaxEngine, "from_folder", refuse)
    again = registry.make("jax", str(small_folder), options=options)
    assert again.generate(asked) == answers
    again.close()  # it has none
    with pytest.raises(errors.UserError, match="an engine is needed"):
        again.generate([request("who?")])


def test_the_engine_is_made_once_and_closed(both: cached.Cached, engine: stand_in.StandIn) -> None:
    both.close()
    assert engine.closed == 0 and both.used() == protocol.Used()
    both.generate([request("one")])
    both.generate([request("two")])
    both.close()
    assert engine.closed == 1


def test_a_cache_that_cannot_be_made(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    server = dataclasses.replace(registry.DEFAULTS.server, cache_folder=tmp_path / "file")
    with pytest.raises(errors.UserError, match="is a file; a cache needs a folder"):
        registry.make("jax", str(small_folder), options=registry.Options(server=server))
