# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, openai_options


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "OTHER_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"max_retries": -1}, "max_retries must be >= 0, got -1"),
        ({"min_concurrency": 0}, "min_concurrency must be >= 1, got 0"),
        ({"min_concurrency": 9, "max_concurrency": 8}, "max_concurrency must be >= 9, got 8"),
        ({"timeout_seconds": 0.0}, "timeout_seconds must be > 0, got 0.0"),
        ({"requests_per_minute": -1.0}, "requests_per_minute must be >= 0, got -1.0"),
        ({"image_tokens": 0}, "image_tokens must be >= 1, got 0"),
        ({"unsent": ("top_k",)}, "unsent must be of .*, json_schema, got 'top_k'"),
        ({"terms": ledger.Terms(max_total_tokens=-1)}, "max_total_tokens must be >= 0, got -1"),
    ],
)
def test_values_out_of_range(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(errors.UserError, match=line):
        openai_options.Options(**fields).validate()


def test_the_key_comes_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "one")
    monkeypatch.setenv("OTHER_KEY", " other\n")
    assert openai_options.read_key(openai_options.Options()) == "one"
    assert openai_options.read_key(openai_options.Options(key_variable="OTHER_KEY")) == "other"


@pytest.mark.parametrize("key", ["sk-0123\n456789", "sk-0123456789\u00e9", "sk-\x7f0123456789"])
def test_a_key_that_cannot_be_sent_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OTHER_KEY", key)
    with pytest.raises(errors.UserError, match="variable OTHER_KEY holds a character") as caught:
        openai_options.read_key(openai_options.Options(key_variable="OTHER_KEY"))
    assert "0123" not in str(caught.value)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Api-Key: abcdefgh\u00e9")
    with pytest.raises(errors.UserError, match="variable OPENAI_CUSTOM_HEADERS holds") as caught:
        openai_options.read_secrets("sk-0123456789")
    assert "abcd" not in str(caught.value)


PASSWORD = "secretword"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (f"http://user:{PASSWORD}@localhost/v1", "must have no user, password or query"),
        (f"http://user:12/{PASSWORD}@localhost/v1", "must have no user, password or query"),
        (f"http://localhost/v1?key={PASSWORD}", "must have no user, password or query"),
        (f"http://localhost/v1#{PASSWORD}", "must have no user, password or query"),
        (f"user:{PASSWORD}@localhost/v1", "must have no user, password or query"),
        (f"{PASSWORD}:8000/v1", "must be an http or https address"),
        (f"ftp://{PASSWORD}/v1", "must be an http or https address"),
        ("http:///v1", "must be an http or https address"),
        (f"http://localhost:{PASSWORD}/v1", "is no address"),
        (f"http://[{PASSWORD}/v1", "is no address"),
    ],
)
@pytest.mark.parametrize("is_environment", [False, True])
def test_an_address_is_checked_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, url: str, line: str, is_environment: bool
) -> None:
    name, options = "base_url", openai_options.Options(base_url=url)
    if is_environment:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        name, options = "OPENAI_BASE_URL", openai_options.Options()
    with pytest.raises(errors.UserError, match=f"{name} {line}") as caught:
        options.validate()
    assert PASSWORD not in str(caught.value)
    options.validate_limits()
    # What the user says comes first.
    openai_options.Options(base_url="http://localhost:8000/v1").validate()


@pytest.mark.parametrize(
    "options",
    [
        openai_options.Options(),
        openai_options.Options(base_url="http://localhost/v1", key_variable="OTHER_KEY"),
    ],
    ids=["of OpenAI", "chosen by the user"],
)
def test_a_missing_key_is_named(options: openai_options.Options) -> None:
    with pytest.raises(errors.UserError, match=f"variable {options.key_variable} is not set"):
        openai_options.read_key(options)


def test_a_server_of_ones_own_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    own = openai_options.Options(base_url="http://localhost:8000/v1")
    assert openai_options.read_key(own) == openai_options.NO_KEY
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert openai_options.read_key(openai_options.Options()) == openai_options.NO_KEY


def test_secrets_leave_values_of_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: radiology\nX-Api-Key: abcdefgh-2")
    secrets = openai_options.read_secrets("sk-0123456789")
    value = {"a sk-0123456789": ["Bearer sk-0123456789.", 1, None], "b": {"c": "xabcdefgh-2x"}}
    assert secrets.hide(value) == {
        "a [hidden]": ["Bearer [hidden].", 1, None],
        "b": {"c": "x[hidden]x"},
    }
    assert secrets.hide("radiology") == "radiology"


def test_a_stand_in_for_a_key_is_no_secret() -> None:
    assert openai_options.Secrets(["EMPTY"]).hide("EMPTY scan") == "EMPTY scan"
