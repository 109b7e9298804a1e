"""`detector outbox` beside a running service, whose receiver refuses alerts until it is mended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detector.sinks.outbox import IDLE_SECONDS
from tests.hook import Hook
from tests.records import log_file, record
from tests.service_process import running
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.integration

WANTED, UNWANTED = "111122223333", "444455556666"


def config(hook: Hook) -> dict[str, Any]:
    return {
        "sources": [
            {"type": "directory", "name": "logs", "path": "logs", "settle_seconds": 0.01}
            | {"poll_seconds": 0.05}
        ],
        "sinks": [{"type": "webhook", "name": "hook", "url": hook.url}],
        "egress": {"allow": ["127.0.0.0/8"]},
    }


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `detector outbox` on the configuration of a service."""
    name, *rest = arguments
    path = str(folder / "detector.yaml")
    return subprocess.run(
        [sys.executable, "-m", "detector", "outbox", name, "--config", path, *rest],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def listed(folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the entries by the account that they are about."""
    done = command(folder, "list", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return {entry["alert"]["accounts"][0]: entry for entry in json.loads(done.stdout)}


def test_what_was_refused_is_shown_and_sent_again_or_dropped_while_the_service_runs(
    tmp_path: Path,
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with Hook(then=400) as hook, running(tmp_path, config(hook)) as service:
        events = [record(recipientAccountId=account) for account in (WANTED, UNWANTED)]
        (logs / "some.json").write_bytes(log_file(*events))
        service.wait_until(lambda: len(hook.received) == 2)
        found = service.wait_until(
            lambda: entries if len(entries := listed(tmp_path, "--dead")) == 2 else None
        )
        assert found is not None
        assert {entry["last_error"] for entry in found.values()} == {"127.0.0.1 answered 400"}
        shown = command(tmp_path, "list", "--sink", "hook")
        assert shown.stdout.count("hook  dead  raised  1 failed attempt") == 2

        hook.then = 200
        wanted, unwanted = (found[account]["alert"]["id"] for account in (WANTED, UNWANTED))
        dropped = command(tmp_path, "drop", "--alert", unwanted, "--yes")
        assert dropped.stdout == "1 entry dropped\n"
        retried = command(tmp_path, "retry", "--dead")
        assert retried.stdout.startswith("1 entry due now: a running service looks within 10 s")
        # It sleeps for so long at most, and nothing else wakes it.
        wait_for(lambda: hook.ids(200), patience=IDLE_SECONDS + PATIENCE)
        service.wait_until(lambda: listed(tmp_path) == {})
        assert hook.ids(200) == [wanted]
        assert sorted(hook.ids(400)) == sorted([wanted, unwanted])

        # It goes on: what comes next goes out as ever.
        (logs / "more.json").write_bytes(log_file(record(at=4000, recipientAccountId=UNWANTED)))
        service.wait_until(lambda: len(hook.ids(200)) == 2)
        assert service.stop() == 0


def test_what_is_retried_while_the_service_is_stopped_goes_out_at_its_start(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with Hook(then=503) as hook:
        with running(tmp_path, config(hook)) as service:
            (logs / "some.json").write_bytes(log_file(record()))
            service.wait_until(lambda: hook.received)
            service.wait_until(lambda: listed(tmp_path)[WANTED]["attempts"])
            service.kill()
        assert command(tmp_path, "retry", "--all").returncode == 0
        assert listed(tmp_path)[WANTED]["attempts"] == 0
        hook.then = 200
        with running(tmp_path, config(hook)) as service:
            service.wait_until(lambda: hook.ids(200))
            service.wait_until(lambda: listed(tmp_path) == {})
