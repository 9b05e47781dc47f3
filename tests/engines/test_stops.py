# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Text read token by token against the whole, and cut at stop texts, at every cut of the bytes."""

import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from lingshu_jax.data import messages
from lingshu_jax.engines import stops
from tests import small


def decode(ids: Sequence[int]) -> str:
    """A tokenizer of bytes; beyond 255 stand pieces of several."""
    return b"".join(PIECES.get(i, bytes([i % 256])) for i in ids).decode("utf-8", "replace")


PIECES = {256: b"END", 257: b" E", 258: b"ND of", 259: "é".encode() + b"\xc3", 260: b""}


def read(
    ids: Sequence[int], texts: Sequence[str] = (), decode_with: object = decode
) -> tuple[list[str], int, bool]:
    """What each token gave, the rest last; tokens read; whether a text ended it."""
    assert callable(decode_with)
    reader, given = stops.Reader(decode_with, texts), []
    for count, token in enumerate(ids, start=1):
        given.append(reader.push(token))
        if reader.is_stopped:
            return given, count, True
    return [*given, reader.finish()], len(ids), False


def cut(text: str, texts: Sequence[str]) -> str:
    places = [text.index(stop) for stop in texts if stop in text]
    return text[: min(places, default=len(text))]


@pytest.mark.parametrize("text", ["", "plain", "aé日本🫁z", "🫁", "é" * 7])
def test_the_parts_are_the_whole(text: str) -> None:
    given, count, is_stopped = read(list(text.encode()))
    assert "".join(given) == text and count == len(text.encode()) and not is_stopped
    assert stops.UNDECIDED not in "".join(given)
    # Each character comes with its last byte.
    for end, part in enumerate(given[:-1], start=1):
        assert ("".join(given[:end])) == text.encode()[:end].decode("utf-8", "ignore"), part


def test_bytes_that_are_no_character_come_at_last() -> None:
    assert "".join(read([65, 0xC3, 66])[0]) == "A\ufffdB"
    given = read([65, 0xC3, 0xE6, 0x97])[0]
    assert given[-1] == decode([0xC3, 0xE6, 0x97]) and "".join(given) == decode([65, 195, 230, 151])


@pytest.mark.parametrize(
    ("ids", "texts", "expected", "count"),
    [
        ([*b"abc", 256, *b"x"], ("END",), "abc", 4),
        ([*b"abc", 257, 258, *b"x"], ("END",), "abc ", 5),  # over two tokens, and text after it
        ([*b"abEN", *b"END"], ("END",), "abEN", 7),  # a beginning that came to nothing
        ([*b"ababc"], ("abc",), "ab", 5),  # that overlaps with itself
        ([*b"one two"], ("two", "e t"), "on", 5),  # the one that is complete first
        ([256], ("ND", "EN"), "", 1),  # complete together: the one that begins first
        ([256], ("END", "E"), "", 1),
        ([*"日本語".encode()], ("本",), "日", 6),
        ([*"é.".encode()], ("é",), "", 2),
        ([69, 78, 259], ("ENé",), "", 3),  # complete, and a byte of the next character behind it
        ([*b"A", 260, *b"B"], ("AB",), "", 3),  # a special token between gives no text
    ],
)
def test_a_stop_text_cuts(
    ids: list[int], texts: tuple[str, ...], expected: str, count: int
) -> None:
    given, read_tokens, is_stopped = read(ids, texts)
    assert "".join(given) == expected
    assert (read_tokens, is_stopped) == (count, True)


@pytest.mark.parametrize("texts", [("xyz",), ("abd", "c!"), ("abcabcabc",), ("C",)])
def test_what_does_not_occur_cuts_nothing(texts: tuple[str, ...]) -> None:
    given, _, is_stopped = read([*b"abcabc"], texts)
    assert "".join(given) == "abcabc" and not is_stopped


def test_only_what_may_be_a_stop_text_is_held_back() -> None:
    given = read([*b"a STO sSTOP"], ("STOP",))[0]
    assert given == ["a", " ", "", "", "", "STO ", "s", "", "", "", ""]
    assert read([*b"a STO"], ("STOP",))[0] == ["a", " ", "", "", "", "STO"]


def random_texts() -> Iterator[tuple[list[int], list[str]]]:
    """Few letters and few lengths, so that stop texts occur, overlap and almost occur."""
    rng = np.random.default_rng(0)
    letters = ["a", "b", "é", "🫁"]
    for _ in range(400):
        text = "".join(rng.choice(letters, rng.integers(0, 14)))
        texts = [
            "".join(rng.choice(letters, rng.integers(1, 4))) for _ in range(rng.integers(0, 3))
        ]
        yield list(text.encode()), texts


def test_random_texts_are_cut_as_the_whole_is() -> None:
    stopped = 0
    for ids, texts in random_texts():
        given, count, is_stopped = read(ids, texts)
        whole = decode(ids)
        # The first token after which some text is there.
        counts = range(len(ids) + 1)
        first = next((n for n in counts if any(t in decode(ids[:n]) for t in texts)), None)
        assert is_stopped == (first is not None)
        if first is None:
            assert "".join(given) == whole
            continue
        stopped += 1
        assert count == first
        assert "".join(given) == cut(decode(ids[:first]), texts)
    assert 50 < stopped < 350


def test_a_tokenizer_of_a_folder(small_folder: pathlib.Path) -> None:
    encoder = messages.Encoder(small_folder, **small.PIXELS)
    rng = np.random.default_rng(2)
    words = "Ødem, 5 µm – “no effusion”. 日本語 🫁 <|im_end|>"
    cases = [encoder.text_ids(words), [*encoder.text_ids(words), encoder.special.im_end, 65]]
    cases += [rng.integers(0, encoder.vocab_size, 40).tolist() for _ in range(20)]
    for ids in cases:
        assert "".join(read(ids, (), encoder.decode)[0]) == encoder.decode(ids)
        assert "".join(read(ids, ("never",), encoder.decode)[0]) == encoder.decode(ids)
    given, count, is_stopped = read(cases[0], ("“no",), encoder.decode)
    assert "".join(given) == "Ødem, 5 µm – " and is_stopped
    assert encoder.decode(cases[0][:count]).endswith("“no")
