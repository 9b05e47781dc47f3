# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import contextlib
import re
import subprocess
import sys
import urllib.parse

import httpx2
import pytest

from lingshu_jax.common import errors, web, web_address

SERVER = """
import sys
from starlette import responses, routing
from lingshu_jax.common import web, web_address
async def show(request):
    return responses.PlainTextResponse("secret " + request.method)
routes = [routing.Route("/", show, methods=["GET", "POST"])]
app = web.make_app(routes, token="abc-123")
web.serve(app, web_address.Address(port=int(sys.argv[1])), token="abc-123", title="page")
"""


@contextlib.contextmanager
def serving(port=0):
    command = [sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        try:
            line = it.stdout.readline()
            found = re.fullmatch(r"page: (http://127\.0\.0\.1:\d+)/\?token=abc-123\n", line)
            assert found, line or it.stderr.read()
            yield found[1]
        finally:
            it.kill()


@pytest.fixture(scope="module")
def site():
    with serving() as address:
        yield address


@pytest.fixture
def visitor():
    with httpx2.Client() as client:
        yield client


def enter(client, site):
    answer = client.get(f"{site}/?token=abc-123&a=1")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/?a=1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie


@pytest.mark.parametrize("query", ["", "?token=", "?token=abc-124", "?token=abc-123x", "?token=é"])
def test_without_the_token_there_is_nothing_to_see(site, visitor, query):
    answer = visitor.get(f"{site}/{query}")
    assert answer.status_code == 401 and "secret" not in answer.text


def test_the_address_that_was_printed_opens_it(site, visitor):
    enter(visitor, site)
    answer = visitor.get(site)
    assert (answer.status_code, answer.text) == (200, "secret GET")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_what_another_page_sends_is_refused(site, visitor):
    enter(visitor, site)
    assert visitor.post(site).status_code == 200
    assert visitor.post(site, headers={"origin": site}).status_code == 200
    for origin in ("http://evil.example", "http://evil.example:80", "null"):
        assert visitor.post(site, headers={"origin": origin}).status_code == 403


def test_another_name_of_this_machine_is_refused(site, visitor):
    port = urllib.parse.urlsplit(site).port
    headers = {"host": f"evil.example:{port}"}
    assert visitor.get(f"{site}/?token=abc-123", headers=headers).status_code == 400


def test_a_port_in_use_is_the_users_error(site):
    port = urllib.parse.urlsplit(site).port
    with pytest.raises(errors.UserError, match=rf"--port={port} cannot be had"):
        web.serve(web.make_app([], token="a"), web_address.Address(port=port), token="a", title="")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (web_address.Address(port=-1), "--port must be 0 to 65535, got -1"),
        (web_address.Address(port=65_536), "got 65536"),
        (web_address.Address(host="a b"), "--host must be a name"),
        (web_address.Address(host=""), "got ''"),
    ],
)
def test_what_is_no_address_is_refused(address, said):
    with pytest.raises(errors.UserError, match=said):
        address.validate()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("a.example", False),
    ],
)
def test_loopback_is_known(host, expected):
    assert web_address.Address(host=host).is_loopback is expected
