"""What a payload can do to the service's memory."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.envelopes.payload import MAX_VALUES
from tests.compressed import bomb
from tests.records import log_file, record
from tests.service_process import Service, running
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.integration

STATED_CAP = 1 << 30
"""Bytes of resident memory that the documentation promises for the default limits."""

MAX_INFLATED_BYTES = 128 << 20
"""A limit that bombs of a size for tests come to; memory does not follow it."""

LONG_MIB = 1000
FLAT_CAP = 256 << 20
"""What a log file of a hundred windows may take: as much as one of ten."""

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
    config = {
        "sources": [{"type": "directory", "path": "logs", "settle_seconds": 0.01}],
        "limits": {"max_inflated_bytes": MAX_INFLATED_BYTES},
    }
    with running(tmp_path, config) as service:
        service.wait_until(lambda: service.records("directory")["matched"] == 1)
        service.wait_until(lambda: sum(deliveries(service)) == len(HOSTILE))
        peak = peak_bytes(service)
        print(f"peak: {peak >> 20} MiB")  # noqa: T201 - shown with pytest -s
        assert peak < STATED_CAP
        rejected = {Path(line["origin"]).name for line in service.log if "origin" in line}
        assert {"bomb.json.gz", "brackets.json.gz"} <= rejected
        assert service.stop() == 0


def test_memory_stays_flat_over_a_log_file_of_any_length(tmp_path: Path) -> None:
    """A log file of 1 GiB, which is as much as may be inflated: one record matches, at its end."""
    logs = tmp_path / "logs"
    logs.mkdir()
    one = json.dumps(record("GetUser")).encode() + b","
    block = one * ((1 << 20) // len(one))
    packer = zlib.compressobj(1, wbits=31)
    with (logs / "long.json.gz").open("wb") as file:
        file.write(packer.compress(b'{"Records":['))
        for _ in range(LONG_MIB):
            file.write(packer.compress(block))
        file.write(packer.compress(json.dumps(record()).encode() + b"]}") + packer.flush())
    config = {"sources": [{"type": "directory", "path": "logs", "settle_seconds": 0.01}]}
    with running(tmp_path, config) as service:
        wait_for(lambda: sum(deliveries(service)) == 1, patience=10 * PATIENCE)
        assert service.records("directory")["matched"] == 1
        assert service.records("directory")["unmatched"] == LONG_MIB * ((1 << 20) // len(one))
        peak = peak_bytes(service)
        print(f"peak: {peak >> 20} MiB")  # noqa: T201 - shown with pytest -s
        assert peak < FLAT_CAP
        assert service.stop() == 0


def peak_bytes(service: Service) -> int:
    """Return the most memory that the service ever had."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return int(peak.group(1)) << 10


def deliveries(service: Service) -> list[float]:
    metrics = service.metrics()
    name = "detector_deliveries_total{result=%s}{source=directory}"
    return [metrics[name % result] for result in ("acked", "nacked")]
