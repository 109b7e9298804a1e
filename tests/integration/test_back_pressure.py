"""A source much faster than the disk and the sinks: memory stays flat, and nothing is lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from detector.counting.current import current_alerts
from detector.state.sqlite import SQLiteStore
from tests.hook import Hook
from tests.integration import slow_service
from tests.records import record
from tests.rules import rule_text
from tests.service_process import running
from tests.waiting import pause

pytestmark = pytest.mark.integration

SECONDS = float(os.environ.get("DETECTOR_SOAK_SECONDS", "20"))
"""How long the flood goes on: five minutes in the long form."""

IN_HAND_BYTES = 4 << 20
IN_HAND_DELIVERIES = 64

STATED_CAP = 256 << 20
"""Bytes of resident memory that the documentation promises under this load and these limits."""

FASTER = 10


class Flood(threading.Thread):
    """Writes records into a pipe as fast as it takes them: one in a hundred matches."""

    def __init__(self, pipe: IO[bytes], seconds: float) -> None:
        super().__init__()
        self._pipe = pipe
        self._seconds = seconds
        self._others = msgspec.json.encode(record("GetUser", eventID="x"))
        self.records = 0
        self.matches = 0
        self.busy = 0.0
        """Seconds in which it was not waiting for the pipe."""
        self.took = 0.0

    def run(self) -> None:
        started = time.monotonic()
        while time.monotonic() < started + self._seconds:
            begun = time.monotonic()
            body = b"\n".join([*self._matching(), *[self._others] * 990]) + b"\n"
            self.busy += time.monotonic() - begun
            self._pipe.write(body)
            self.records += 1000
            self.matches += 10
        self.took = time.monotonic() - started
        self._pipe.close()

    def _matching(self) -> Iterator[bytes]:
        for number in range(10):
            fields = {"eventID": f"{self.matches + number}", "recipientAccountId": "111122223333"}
            yield msgspec.json.encode(record(at=self.matches + number, **fields))


def test_a_source_faster_than_the_disk_and_the_sinks_is_held_back(tmp_path: Path) -> None:
    (tmp_path / "puts.yml").write_text(rule_text(id="puts"))
    with Hook() as hook:
        hook.take = lambda _: pause(0.2)
        config = {
            "sources": [{"type": "stdin"}],
            "sinks": [{"type": "webhook", "url": hook.url}],
            "rules": ["puts.yml"],
            "limits": {
                "max_bytes_in_hand": IN_HAND_BYTES,
                "max_deliveries_in_hand": IN_HAND_DELIVERIES,
            },
        }
        program = (str(Path(slow_service.__file__)), "1.0")
        with running(tmp_path, config, program=program, piped=True) as service:
            pipe = service.process.stdin
            assert pipe is not None
            flood = Flood(pipe, SECONDS)
            samples: list[tuple[int, float, float]] = []
            service.wait_until(lambda: service.get("/readyz")[0] == 200)
            flood.start()
            while flood.is_alive():
                metrics = service.metrics()
                samples.append(
                    (
                        int(metrics["process_resident_memory_bytes"]),
                        metrics["detector_in_hand_bytes"],
                        metrics["detector_source_in_hand_deliveries{source=stdin}"],
                    )
                )
                pause(0.25)
            flood.join()
            assert service.process.wait(120) == 0
        with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
            assert sum(alert.count for alert in current_alerts(store)) == flood.matches
        memory = [item for item, _, _ in samples]
        settled = memory[len(memory) // 4 :]
        growth = max(settled[len(settled) // 2 :]) / max(settled[: len(settled) // 2])
        print(  # noqa: T201 - shown with pytest -s
            f"{flood.records} records in {flood.took:.0f} s, the flood waited"
            f" {1 - flood.busy / flood.took:.0%}; peak {max(memory) >> 20} MiB, second half over"
            f" first {growth:.3f}, in hand at most {max(held for _, held, _ in samples):,.0f} bytes"
        )
        # What it writes in a second takes the service ten, or it would not have waited so long.
        assert flood.busy < flood.took / FASTER
        assert max(memory) < STATED_CAP
        assert growth < 1.1
        assert max(held for _, held, _ in samples) <= IN_HAND_BYTES
        assert max(count for _, _, count in samples) <= IN_HAND_DELIVERIES
