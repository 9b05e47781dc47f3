# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pages that a command serves to people: on this machine, and only to who has its token.

The address that is printed holds the token; the first visit turns it into a cookie that no script
can read, and takes it out of the address. Without either there is nothing to see. Requests that
name another host are refused, so that no other page can reach in by a name of its own, and what is
sent has to come from the page itself.
"""

import hmac
import secrets
import socket
from collections.abc import Sequence
from typing import Any

from lingshu_jax.common import errors, web_address

try:
    import uvicorn
    from starlette import applications, requests, responses, routing, types
    from starlette.datastructures import Headers
except ModuleNotFoundError as error:
    raise errors.UserError(f"{error.name} is missing: pip install 'lingshu-jax[web]'") from error

COOKIE = "token"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_SAFE = ("GET", "HEAD")  # change nothing
_BASE_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
# Scripts and styles are files of the page; nothing is fetched from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def new_token() -> str:
    """A secret that nobody guesses."""
    return secrets.token_urlsafe(24)


def make_app(
    routes: Sequence[routing.BaseRoute], *, token: str, is_open: bool = False, **options: Any
) -> types.ASGIApp:
    """An application that only who has the token may use.

    Args:
      routes: Its pages.
      token: From `new_token`.
      is_open: Whether other machines reach it, by whatever name.
      **options: Of Starlette, as `lifespan`.
    """
    app = applications.Starlette(routes=list(routes), **options)
    return _Guard(app, token, is_open=is_open)


def serve(app: types.ASGIApp, address: web_address.Address, *, token: str, title: str) -> None:
    """Serves until Ctrl-C; prints the address first, with the token in it.

    Args:
      app: From `make_app`.
      address: Where.
      token: Of the application.
      title: What is served, for the line that is printed.

    Raises:
      UserError: If the address cannot be had.
    """
    address.validate()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # would hold the token
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise errors.UserError(
            f"--host={address.host} --port={address.port} cannot be had: {error.strerror}; "
            "--port=0 takes a free port"
        ) from error
    port = listener.getsockname()[1]
    host = f"[{address.host}]" if ":" in address.host else address.host
    print(f"{title}: http://{host}:{port}/?token={token}", flush=True)
    if not address.is_loopback:
        print("it is reachable from other machines, unencrypted; Ctrl-C ends it", flush=True)
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


class _Guard:
    """What stands before an application: host, token, origin; and the headers of every answer."""

    def __init__(self, app: types.ASGIApp, token: str, *, is_open: bool):
        self._app, self._token, self._is_open = app, token, is_open

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = requests.Request(scope)
        answer = self._refusal(request)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        else:
            await answer(scope, receive, _with_headers(send))

    def _refusal(self, request: requests.Request) -> responses.Response | None:
        """What is answered instead; None lets the request through."""
        host = _host(request.headers.get("host", ""))
        if not self._is_open and host not in _LOCAL:
            return responses.PlainTextResponse(f"unknown host {host!r}", 400)
        given = request.query_params.get("token", "")
        if given and hmac.compare_digest(given.encode(), self._token.encode()):
            return self._enter(request)
        shown = request.cookies.get(f"{COOKIE}-{request.url.port}", "")
        if not hmac.compare_digest(shown.encode(), self._token.encode()):
            return responses.PlainTextResponse(
                "the address that was printed when this page was started opens it", 401
            )
        origin = request.headers.get("origin", "")
        if request.method not in _SAFE and origin and _host(origin.partition("://")[2]) != host:
            return responses.PlainTextResponse(f"another page asks: {origin}", 403)
        return None

    def _enter(self, request: requests.Request) -> responses.Response:
        rest = request.url.remove_query_params("token")
        answer = responses.RedirectResponse(rest.path + (f"?{rest.query}" if rest.query else ""))
        # Cookies are those of a host, whatever the port: two pages on one machine need two names.
        answer.set_cookie(
            f"{COOKIE}-{request.url.port}", self._token, httponly=True, samesite="strict"
        )
        return answer


def _host(netloc: str) -> str:
    """The name of a `host:port`, without brackets of an IPv6 number."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0]


def _with_headers(send: types.Send) -> types.Send:
    async def sending(message: types.Message) -> None:
        if message["type"] == "http.response.start":
            known = Headers(raw=message.get("headers", []))
            more = {**_BASE_HEADERS, "content-security-policy": POLICY}
            missing = [(k.encode(), v.encode()) for k, v in more.items() if k not in known]
            message = {**message, "headers": [*message.get("headers", []), *missing]}
        await send(message)

    return sending
