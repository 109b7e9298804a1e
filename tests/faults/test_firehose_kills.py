"""SIGKILL while Firehose streams deliver and try again: every record counts once."""

import gzip
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from detector.counting.current import current_alerts
from detector.state.sqlite import SQLiteStore
from tests.faults import dying_service
from tests.faults.conftest import KILLS, Figures
from tests.faults.traffic import IAM_RULE
from tests.records import NOON, log_file, record
from tests.servers.firehose_sender import ACCESS_KEY, FirehoseSender
from tests.service_process import DETECTOR, Service, running
from tests.waiting import PATIENCE

pytestmark = pytest.mark.faults

STREAMS = 4
STEPS = {
    "after_fetch": 20,
    "before_commit": 5,
    "after_commit": 5,
    "before_ack": 10,
    "after_ack": 10,
}
"""Steps of a request, and up to which passing of them a service soon gets."""

PAUSE_SECONDS = 0.02
"""Between two attempts of a stream, for Firehose's seconds and minutes."""


class Streams:
    """Streams that deliver batches without end, to whichever service lives."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self.records = 0
        self.batches = 0
        self.attempts = 0
        self._begin = time.time() // 300 * 300 - 300
        self._end = threading.Event()
        self._abandoned = threading.Event()
        self._delivered = threading.Condition()

    def deliver(self, stream: int) -> None:
        """Send batches, each until it is taken, until the end."""
        hose = FirehoseSender(
            self._address,
            compress=stream % 2 == 1,
            sleep=self._pause,
            clock=lambda: 0.0,
        )
        while not self._end.is_set():
            records = [self._record() for _ in range(6)]
            sent = hose.send([log_file(*records[:4]), gzip.compress(log_file(*records[4:]))])
            assert sent.is_delivered
            with self._delivered:
                self.records += len(records)
                self.batches += 1
                self.attempts += len(sent.answers)
                self._delivered.notify_all()

    def wait_for(self, batches: int) -> None:
        """Wait until so many more batches are delivered."""
        goal = self.batches + batches
        with self._delivered:
            assert self._delivered.wait_for(lambda: self.batches >= goal, PATIENCE)

    def finish(self, work: list[Future[None]]) -> None:
        """Begin no more batches, and wait until those that have begun are delivered."""
        self._end.set()
        for item in work:
            item.result(PATIENCE)

    def close(self) -> None:
        """Try no more, so that a test that has failed comes to an end."""
        self._end.set()
        self._abandoned.set()

    def _pause(self, _: float) -> None:
        assert not self._abandoned.wait(PAUSE_SECONDS)

    def _record(self) -> dict[str, Any]:
        return record(at=self._begin - NOON + random.randrange(300))  # noqa: S311

    def _address(self) -> str:
        lines = [] if self.service is None else self.service.log
        found = (line["address"] for line in lines if line["event"] == "listening")
        return next(found, "http://127.0.0.1:1/")


def program_of(chance: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return a step at which a service is to die, and the service that does."""
    step = chance.choice(list(STEPS))
    nth, linger = chance.randint(1, STEPS[step]), chance.choice([0.0, 0.3])
    return step, (dying_service.__file__, step, str(nth), str(linger))


def test_kills_among_requests_lose_no_record_and_count_none_twice(
    tmp_path: Path, figures: Figures
) -> None:
    chance = random.Random(11)  # noqa: S311
    source = {"type": "firehose", "port": 0, "access_keys": [ACCESS_KEY]}
    config = {"sources": [source], "rules": [str(IAM_RULE)]}
    streams = Streams()
    kills = max(2, KILLS // 2)
    with ThreadPoolExecutor(STREAMS) as pool, closing(streams):
        work = [pool.submit(streams.deliver, stream) for stream in range(STREAMS)]
        for number in range(kills):
            step, program = program_of(chance) if number % 2 else ("", DETECTOR)
            with running(tmp_path, config, program=program) as service:
                streams.service = service
                if step:
                    service.process.wait(PATIENCE)
                    assert f"died: {step}" in service.errors
                else:
                    streams.wait_for(chance.randint(1, 20))
                    service.kill()
        with running(tmp_path, config) as service:
            streams.service = service
            streams.finish(work)
            assert service.records("firehose")["rejected"] == 0
            assert service.stop() == 0
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        (alert,) = current_alerts(store)
        assert alert.count == streams.records
        assert len(store.positions("firehose")) == streams.batches
    figures(
        f"{kills} kills, {streams.batches} batches in {streams.attempts} attempts,"
        f" {streams.records} records"
    )
