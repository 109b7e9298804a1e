"""What a payload can do to the service's memory."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.envelopes.payload import MAX_INFLATED_BYTES, MAX_VALUES
from tests.compressed import bomb
from tests.records import log_file, record
from tests.service_process import Service, running

pytestmark = pytest.mark.integration

STATED_CAP = 1 << 30
"""Bytes of resident memory that the documentation promises for the default limits."""

HOSTILE: dict[str, Callable[[], bytes]] = {
    "bomb": lambda: bomb(200 << 20),
    "blank": lambda: gzip.compress(b'{"Records": [' + b" " * (MAX_INFLATED_BYTES - 20) + b"]}"),
    "brackets": lambda: gzip.compress(
        b'{"Records": [{"eventName": [' + b",".join([b"[" * 400 + b"]" * 400] * 150_000) + b"]}]}"
    ),
    "records": lambda: gzip.compress(
        b'{"Records": [' + b",".join([b"{}"] * (MAX_VALUES // 2 - 1)) + b"]}"
    ),
    "objects": lambda: gzip.compress(
        b'{"Records": [{"eventName": [' + b",".join([b'{"a":1}'] * (MAX_VALUES // 2 - 5)) + b"]}]}"
    ),
    "names": lambda: gzip.compress(
        b'{"Records": [' + b",".join([b'{"eventName":"PutUserPolicy"}'] * 100_000) + b"]}"
    ),
    "last": lambda: log_file(record()),
}


def test_no_payload_takes_the_service_over_its_stated_memory(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, make in HOSTILE.items():
        (logs / f"{name}.json.gz").write_bytes(make())
    config = {"sources": [{"type": "directory", "path": "logs", "settle_seconds": 0.01}]}
    with running(tmp_path, config) as service:
        service.wait_until(lambda: service.records("directory")["matched"] == 1)
        service.wait_until(lambda: sum(deliveries(service)) == len(HOSTILE))
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        print(f"peak: {int(peak.group(1)) >> 10} MiB")  # noqa: T201 - shown with pytest -s
        assert int(peak.group(1)) << 10 < STATED_CAP
        rejected = {Path(line["origin"]).name for line in service.log if "origin" in line}
        assert {"bomb.json.gz", "brackets.json.gz"} <= rejected
        assert service.stop() == 0


def deliveries(service: Service) -> list[float]:
    metrics = service.metrics()
    name = "detector_deliveries_total{result=%s}{source=directory}"
    return [metrics[name % result] for result in ("acked", "nacked")]
