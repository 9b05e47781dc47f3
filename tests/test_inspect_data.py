# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The page shows which tokens are trained; every refused row is in dropped.jsonl."""

import html.parser
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from lingshu_jax import inspect_page
from lingshu_jax.data import messages, tokenizer_files

COMMAND = [sys.executable, "-m", "lingshu_jax.inspect_data"]
TRICKY = 'a < b & "c" <|im_start|>assistant é 肺'


def turns(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return folder


@pytest.fixture(scope="module")
def encoder(tokenizer_folder):
    return messages.Encoder(tokenizer_folder, min_pixels=3136, max_pixels=50176)


@pytest.fixture
def rows(tmp_path):
    Image.new("RGB", (60, 90), "red").save(tmp_path / "a.png")
    broken = (tmp_path / "a.png").read_bytes()[:-30]
    (tmp_path / "broken.png").write_bytes(broken)

    def asked(image):
        return [{"type": "image", "image": image}, {"type": "text", "text": TRICKY}]

    lines = [
        {"id": "good", "messages": turns(asked("a.png"), "It is red.")},
        {"id": "broken", "messages": turns(asked("broken.png"), "Yes")},
        {"id": "missing", "messages": turns(asked("b.png"), "Yes")},
        {"id": "prompt", "messages": turns("Hello?")},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n{\n")
    return path


def run(repo, *arguments):
    environment = os.environ | {"PYTHONPATH": str(repo)}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        cwd=repo,
        capture_output=True,
        text=True,
        timeout=120,
    )


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Spans(html.parser.HTMLParser):
    """(class, text) of every span."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self._open = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._open = [dict(attrs)["class"], ""] if tag == "span" else self._open

    def handle_data(self, data):
        if self._open:
            self._open[1] += data

    def handle_endtag(self, tag):
        if tag == "span":
            self.found.append(tuple(self._open))
            self._open = None


def spans_of(encoder, conversation):
    encoded = encoder.encode(conversation)
    return Spans("".join(inspect_page.spans(encoded, encoder))).found


def text_of(spans, word):
    return "".join(text for kind, text in spans if word in kind.split())


def test_trained_tokens_are_the_answer_its_end_and_the_newline(encoder):
    spans = spans_of(encoder, turns(TRICKY, "Yes, é."))
    assert text_of(spans, "trained") == "Yes, é.<|im_end|>\u23ce\n"
    assert TRICKY in text_of(spans, "plain")


def test_twin_untrained_answer_shows_nothing_trained(encoder):
    conversation = turns(TRICKY, "Yes")
    conversation[1]["loss"] = False
    assert text_of(spans_of(encoder, conversation), "trained") == ""


def test_only_real_control_tokens_are_marked_as_such(encoder):
    spans = spans_of(encoder, turns(TRICKY, "Yes"))
    control = [text for kind, text in spans if "control" in kind]
    assert control.count("<|im_start|>") == 3 and control.count("<|im_end|>") == 3


def test_visual_tokens_are_one_span(encoder):
    parts = [{"type": "image", "image": Image.new("RGB", (60, 90))}]
    spans = spans_of(encoder, turns(parts, "Yes"))
    assert text_of(spans, "media") == "1 x 6 x 4 patches, 6 tokens"
    assert "image_pad" not in "".join(text for _, text in spans)


def test_page_and_dropped_rows(repo, rows, tmp_path):
    done = run(repo, f"--path={rows}", f"--output={tmp_path / 'out'}", "--rows=5")
    assert done.returncode == 0, done.stderr
    assert "rows: 1\n" in done.stdout and "refused rows: 4\n" in done.stdout
    dropped = {row["id"]: row for row in read_lines(tmp_path / "out" / "dropped.jsonl")}
    assert {key: row["line"] for key, row in dropped.items()} == {
        "broken": 2,
        "missing": 3,
        "prompt": 4,
        "rows:5": 5,
    }
    assert all(set(row) == {"id", "source", "line", "reason"} for row in dropped.values())
    assert "broken.png" in dropped["broken"]["reason"]
    assert "no such file: b.png" in dropped["missing"]["reason"]
    assert "no assistant message" in dropped["prompt"]["reason"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert text_of(Spans(page).found, "trained").endswith("It is red.<|im_end|>\u23ce\n")
    assert page.count("<img src=") == 1 and "byte-level stand-in" in page
    assert TRICKY not in page, "text must be escaped"


def test_strict_stops_at_the_first_refused_row(repo, rows, tmp_path):
    done = run(repo, f"--path={rows}", f"--output={tmp_path / 'out'}", "--strict")
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert done.stderr.count("\n") == 1
    assert "rows, line 3, id 'missing': no such file" in done.stderr


def test_prompts_are_shown_with_the_open_turn(repo, rows, tmp_path):
    done = run(repo, f"--path={rows}", f"--output={tmp_path / 'out'}", "--prompts", "--rows=9")
    assert done.returncode == 0, done.stderr
    assert "rows: 2\n" in done.stdout and "trained tokens: 0\n" in done.stdout
    assert not any(row["id"] == "prompt" for row in read_lines(tmp_path / "out" / "dropped.jsonl"))


def test_a_config_shows_its_mixture_and_fill(repo, tokenizer_folder, tmp_path):
    done = run(
        repo,
        "--config=configs/stage3_instruct.py:tiny",
        "--config.data.tokens_per_row=512",  # the tokenizer below is one token a byte
        f"--tokenizer={tokenizer_folder}",
        f"--output={tmp_path}",
        "--rows=2",
    )
    assert done.returncode == 0, done.stderr
    assert "fill of packed rows: 9" in done.stdout
    assert (tmp_path / "dropped.jsonl").read_text() == ""
    assert (tmp_path / "index.html").read_text().count("<section>") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path=nowhere.jsonl", "--output=OUT"], "no such file: .*nowhere.jsonl"),
        (["--output=OUT", "--rows=2"], "give one of --config"),
    ],
    ids=["missing file", "nothing asked"],
)
def test_bad_flags_are_one_line(repo, tmp_path, arguments, message):
    done = run(repo, *(a.replace("OUT", str(tmp_path / "out")) for a in arguments))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(done.stderr)
    assert not (tmp_path / "out").exists()
