"""The real Alertmanager, which sends what it has to say to a receiver of the test."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port, servers_folder
from tests.servers.checking import Answer, CheckingServer, Received, RefusedError
from tests.waiting import wait_for

RESOLVE_TIMEOUT_SECONDS = 1


class Receiver(CheckingServer):
    """What Alertmanager notifies: `told` are the alerts of its messages, in order."""

    def check(self, request: Received) -> Answer:
        if request.json.get("version") != "4":
            raise RefusedError(Answer(400, "not Alertmanager's"))
        return Answer()

    @property
    def told(self) -> list[dict[str, Any]]:
        """Every alert of every message so far."""
        return [alert for request in self.accepted for alert in request.json["alerts"]]

    def statuses(self, incident: str) -> list[str]:
        """Return what it was told of an incident: firing, resolved."""
        return [
            alert["status"] for alert in self.told if alert["labels"].get("incident") == incident
        ]


class Alertmanager:
    """A running one, by its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it has and that fire."""
        url = f"{self.address}/api/v2/alerts"
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
            found: list[dict[str, Any]] = json.load(response)
        return found

    def incident(self, incident: str) -> dict[str, Any] | None:
        """Return the alert of an incident, None if it does not fire."""
        found = [alert for alert in self.alerts() if alert["labels"].get("incident") == incident]
        assert len(found) <= 1, found
        return found[0] if found else None


def alertmanager_program() -> tuple[str, Path | None]:
    """Return the program and the folder to start it in; skip the test where there is none."""
    found = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    if found is not None:
        return found, None
    folder = (servers_folder() / "alertmanager").resolve()
    unpacked = folder / "usr" / "bin" / "prometheus-alertmanager"
    if not unpacked.is_file():
        pytest.skip(f"Alertmanager is neither on the PATH nor in {folder}: see `make servers`")
    return str(unpacked), folder


@contextmanager
def alertmanager(folder: Path, receiver: Receiver) -> Iterator[Alertmanager]:
    """Run an Alertmanager that is alone, does not wait, and tells a receiver all that happens."""
    program, started_in = alertmanager_program()
    config = folder / "alertmanager.json"
    config.write_text(json.dumps(_config(receiver.address)))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "alertmanager.log").open("w") as log:
        server = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
                "--log.level=debug",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=started_in,
        )
        try:
            wait_for(lambda: _is_ready(server, address, folder))
            yield Alertmanager(f"http://{address}")
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(10)


def _config(address: str) -> dict[str, Any]:
    return {
        "global": {"resolve_timeout": f"{RESOLVE_TIMEOUT_SECONDS}s"},
        "route": {
            "receiver": "test",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [
            {"name": "test", "webhook_configs": [{"url": address, "send_resolved": True}]}
        ],
    }


def _is_ready(server: subprocess.Popen[bytes], address: str, folder: Path) -> bool:
    assert server.poll() is None, (folder / "alertmanager.log").read_text()
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
