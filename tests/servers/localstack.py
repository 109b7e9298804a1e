"""LocalStack, which stands for S3, SQS, SNS, EventBridge and Kinesis where moto falls short."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import free_port, servers_folder
from tests.waiting import wait_for

SERVICES = ("s3", "sqs", "sns", "events", "kinesis", "logs", "sts")

_STARTUP_SECONDS = 120.0
"""It starts within 3 to 6 s on a calm machine."""


def localstack_folder() -> Path:
    """Return where LocalStack is installed; skip the test where it is not."""
    folder = servers_folder() / "localstack"
    if not (folder / "installed").is_file():
        pytest.skip(f"LocalStack is not in {folder}: `make servers` installs it")
    return folder


@contextmanager
def localstack(folder: Path) -> Iterator[str]:
    """Run LocalStack with all its files in a folder, and yield its host and port.

    It listens on every address, whatever it is told; tests use 127.0.0.1.
    """
    installed = localstack_folder()
    root = folder / "root"
    libraries = root / "var" / "lib" / "localstack" / "lib"
    libraries.mkdir(parents=True)
    kinesis = installed / "kinesis-local"
    if kinesis.is_dir():
        # Where it would install the package, from the network, at the first call of Kinesis.
        (libraries / "kinesis-local").symlink_to(kinesis.resolve())
    host = f"127.0.0.1:{free_port()}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {
        "GATEWAY_LISTEN": host,
        "LOCALSTACK_HOST": host,
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(root),
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "SERVICES": ",".join(SERVICES),
        "SQS_ENDPOINT_STRATEGY": "path",
    }
    with (folder / "localstack.log").open("w") as log:
        server = subprocess.Popen(
            [installed / "venv" / "bin" / "python", "-m", "localstack.runtime.main"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            cwd=folder,
        )
        try:
            wait_for(lambda: _is_healthy(server, host, folder), patience=_STARTUP_SECONDS)
            yield host
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(30)


def _is_healthy(server: subprocess.Popen[bytes], host: str, folder: Path) -> bool:
    assert server.poll() is None, (folder / "localstack.log").read_text()
    try:
        with urllib.request.urlopen(f"http://{host}/_localstack/health", timeout=5) as response:
            return "services" in json.load(response)
    except OSError:
        return False
