"""SIGKILL in the middle of a stream of alerts: what was delivered is in the archive's files."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from detector.config import ArchiveSinkConfig
from detector.sinks.archive.sink import ArchiveSink
from detector.sinks.sink import Delivered
from detector.state.store import Notification
from tests.alerts import alert
from tests.archived import archive_files, read
from tests.conftest import REPOSITORY
from tests.faults import archiving
from tests.faults.conftest import KILLS, Figures
from tests.sinks import answers

pytestmark = pytest.mark.faults


def said(folder: Path, word: str) -> set[str]:
    """Return what processes said of messages, whole lines only."""
    lines = [line for path in folder.glob("*.txt") for line in path.read_text().split("\n")[:-1]]
    return {line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")}


def test_what_was_delivered_before_a_kill_is_in_the_files_once(
    tmp_path: Path, figures: Figures
) -> None:
    root = tmp_path / "archive"
    config = ArchiveSinkConfig(name="archive", path=str(root), max_bytes=200_000)
    subprocess.run(
        [
            *(sys.executable, "-m", archiving.__name__, msgspec.json.encode(config).decode()),
            *(str(tmp_path), str(KILLS)),
        ],
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    sent, delivered = said(tmp_path, "sent"), said(tmp_path, "delivered")
    assert asyncio.run(answers(config, Notification(alert()))) == [Delivered()]
    files = archive_files(root)
    found = Counter(record["message_id"] for record in read(files))
    assert len(delivered) > KILLS
    assert delivered <= set(found)
    assert max(found.values()) == 1
    # Those on their way at a kill may be there or not: the outbox sends them again.
    others = set(found) - delivered
    assert len(others) <= KILLS * (ArchiveSink.concurrency + 1)
    assert len(others - sent) <= KILLS + 1
    assert list((root / ".open").iterdir()) == []
    figures(
        f"{KILLS} kills, {len(delivered)} delivered, all there; {len(others)} there that were on"
        f" their way; {len(files)} files"
    )
