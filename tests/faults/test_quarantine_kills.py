"""SIGKILL on the way into the quarantine, and out of it: nothing is lost, or counts twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector.counting.current import current_alerts
from detector.quarantine.folder import FolderQuarantine
from detector.state.sqlite import SQLiteStore
from tests.faults import dying_service
from tests.records import log_file, record
from tests.service_process import running

pytestmark = pytest.mark.faults

EVENTS = 3


def config(**changes: Any) -> dict[str, Any]:
    source = {"type": "directory", "name": "logs", "path": "logs", "settle_seconds": 0.01}
    return {"sources": [{**source, "poll_seconds": 0.05}], **changes}


def entries(folder: Path, below: str = "") -> list[dict[str, Any]]:
    found = (folder / "state" / "quarantine" / below).glob("*.json")
    return [msgspec.json.decode(path.read_bytes()) for path in found]


def waiting(folder: Path) -> int:
    with SQLiteStore.open(folder / "state" / "detector.sqlite3") as store:
        return store.quarantine_counts().rows


def dies(folder: Path, step: str, settings: dict[str, Any]) -> None:
    with running(folder, settings, program=(dying_service.__file__, step, "1", "0")) as service:
        assert service.process.wait(60) == -9
        assert f"died: {step}" in service.errors


@pytest.mark.parametrize("step", dying_service.QUARANTINE_STEPS)
def test_a_kill_at_any_step_of_the_quarantine_loses_nothing_and_repeats_nothing(
    tmp_path: Path, step: str
) -> None:
    limited, unlimited = config(limits={"max_values": 60}), config()
    (tmp_path / "logs").mkdir()
    events = [record(at=number, eventID=f"e{number}") for number in range(EVENTS)]
    (tmp_path / "logs" / "a.json").write_bytes(log_file(*events))
    if step.endswith("keep"):
        dies(tmp_path, step, limited)
        assert waiting(tmp_path) == 1
        assert len(entries(tmp_path)) == (step == "after_keep")
    with running(tmp_path, limited) as service:
        service.wait_until(lambda: service.metrics().get("detector_quarantine_entries") == 1)
        assert service.stop() == 0
    assert waiting(tmp_path) == 0
    (entry,) = entries(tmp_path)
    assert entry["body"].encode() == log_file(*events)
    asyncio.run(_request_replay(tmp_path))
    if step.endswith("drop"):
        dies(tmp_path, step, unlimited)
        assert len(entries(tmp_path, "replay")) == (step == "before_drop")
    with running(tmp_path, unlimited) as service:
        assert service.get("/healthz")[0] == 200
        service.wait_until(lambda: not entries(tmp_path, "replay"))
        assert service.stop() == 0
    assert entries(tmp_path) == []
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        assert {alert.count for alert in current_alerts(store)} == {EVENTS}


async def _request_replay(folder: Path) -> None:
    quarantine = FolderQuarantine(
        folder / "state" / "quarantine", max_bytes=1 << 20, retention=3600
    )
    for item in await quarantine.listed("kept"):
        await quarantine.request_replay(item)
