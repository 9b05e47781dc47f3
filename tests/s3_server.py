# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An S3 on this machine, with one bucket; commands that a test starts find it as well."""

import logging
import pathlib
from collections.abc import Iterator

import fsspec
import pytest
import s3fs
from etils.epath import backend
from moto import server as moto_server

from lingshu_jax.common import paths

BUCKET = "s3://bucket"
SECRET = "not-to-be-shown"


def run(cache: pathlib.Path) -> Iterator[str]:
    """The address of an empty bucket while tests run; for a fixture.

    Args:
      cache: Where mirrors lie meanwhile.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("XDG_CACHE_HOME", str(cache))
        forget()
        bucket = store()
        if bucket.exists(BUCKET):
            bucket.rm(BUCKET, recursive=True)
        bucket.mkdir(BUCKET)
        yield BUCKET
    forget()
    server.stop()


def store() -> fsspec.AbstractFileSystem:
    """The store as a user's own tools see it."""
    return fsspec.filesystem("s3")


def forget() -> None:
    """Drops clients that know another server, and what they have fetched."""
    s3fs.S3FileSystem.clear_instance_cache()
    backend.fsspec_backend._get_filesystem.cache_clear()
    paths.fetch_once.cache_clear()
