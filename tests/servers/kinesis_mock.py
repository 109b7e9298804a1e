"""kinesis-mock on a free port: streams whose shards close, split and merge."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import free_port, servers_folder
from tests.waiting import wait_for


@contextmanager
def kinesis_mock(folder: Path) -> Iterator[str]:
    """Run kinesis-mock, and yield its address; its log goes into the folder."""
    package = servers_folder() / "kinesis-mock" / "node_modules" / "kinesis-local"
    node = shutil.which("node")
    if node is None or not (package / "main.js").is_file():
        pytest.skip("kinesis-mock is not installed: make servers")
    port, tls = free_port(), free_port()
    with (folder / "kinesis-mock.log").open("w") as log:
        # It reads its certificate from the folder that it runs in.
        server = subprocess.Popen(
            [node, "main.js"],
            cwd=package,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "KINESIS_MOCK_PLAIN_PORT": str(port),
                "KINESIS_MOCK_TLS_PORT": str(tls),
                "LOG_LEVEL": "ERROR",
                "SHARD_LIMIT": "100",
                "CREATE_STREAM_DURATION": "100ms",
                "SPLIT_SHARD_DURATION": "100ms",
                "MERGE_SHARDS_DURATION": "100ms",
            },
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: _answers(f"{address}/healthcheck"))
            yield address
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()  # it waits for connections that a failed test has left open
                server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return True
    except OSError:
        return False
