# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A small hub on this machine: one repository, served as huggingface_hub asks for it.

It can break off a file half-way, refuse one for good, and refuse the whole repository.
"""

import http.server
import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

REPO, COMMIT, TAG = "some-org/Some.Model_1", "0123456789abcdef0123456789abcdef01234567", "v1.0"


class Refusal(NamedTuple):
    """What the hub answers instead: a status and its own code."""

    status: int
    code: str = ""


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `requests` lists what was asked for: (method, file, Range or "")."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.requests: list[tuple[str, str, str]] = []
        self.authorized: list[bool] = []  # whether each of them carried a token
        self.break_off: set[str] = set()  # files whose next answer stops half-way
        self.broken: set[str] = set()  # files whose content is never served
        self.refusal: Refusal | None = None

    @property
    def url(self) -> str:
        """The address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self, name: str) -> list[str]:
        """The Range headers of a file's GET requests."""
        return [asked for method, file, asked in self.requests if (method, file) == ("GET", name)]


def run(files: Mapping[str, bytes]) -> Iterator[Server]:
    """The server while a test runs; for a fixture."""
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = self.path.split("?")[0]
        if self.server.refusal:
            self._refuse(self.server.refusal)
        elif found := re.fullmatch(rf"/{REPO}/resolve/{COMMIT}/(.+)", path):
            self._answer_file(found[1])
        elif found := re.fullmatch(rf"/api/models/{REPO}/revision/(.+)", path):
            if found[1] in ("main", TAG, COMMIT):
                self._answer_json({"id": REPO, "sha": COMMIT})
            else:
                self._refuse(Refusal(404, "RevisionNotFound"))
        elif path == f"/api/models/{REPO}/tree/{COMMIT}":
            files = self.server.files.items()
            self._answer_json(
                [{"type": "file", "path": k, "size": len(v), "oid": _etag(k)} for k, v in files]
            )
        else:
            self._refuse(Refusal(404, "RepoNotFound"))

    def _answer_file(self, name: str) -> None:
        content, asked = self.server.files[name], self.headers.get("Range", "")
        self.server.requests.append((self.command, name, asked))
        self.server.authorized.append("Authorization" in self.headers)
        if name in self.server.broken and self.command == "GET":
            self._refuse(Refusal(500))
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-") or 0)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{_etag(name)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            is_torn = name in self.server.break_off
            self.wfile.write(body[: len(body) // 2] if is_torn else body)
            self.server.break_off.discard(name)
            self.close_connection = is_torn

    def _answer_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(self, refusal: Refusal) -> None:
        self.send_response(refusal.status)
        if refusal.code:
            self.send_header("X-Error-Code", refusal.code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(name: str) -> str:
    return name.encode().hex().ljust(40, "0")[:40]
