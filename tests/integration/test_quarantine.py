"""What could not be understood: kept by the service with its reason, and read once more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from detector.counting.current import current_alerts
from detector.errors import QuarantineError
from detector.quarantine.s3 import S3Quarantine
from detector.quarantine.store import QuarantineStore
from detector.state.sqlite import SQLiteStore
from tests.aws import CREDENTIALS, REGION, Trail, moto_server
from tests.records import log_file, record
from tests.service_process import Service, running
from tests.unit.quarantine_contract import QuarantineContract, documents, made
from tests.waiting import wait_for

pytestmark = pytest.mark.integration

FILE = "111122223333_CloudTrail_us-east-1_20260916T1205Z_UeY8n7jYpsCAu8M9.json"
"""Delivered five minutes after noon, when the records of the tests happen."""

STATE = "state/detector.sqlite3"
KEPT = "detector_quarantined_total{reason=%s}{source=%s}"
SMALL = {"max_values": 60}
"""A limit that a log file of one record keeps, and one of three does not."""


def config(**changes: Any) -> dict[str, Any]:
    source = {"type": "directory", "name": "logs", "path": "logs", "settle_seconds": 0.01}
    return {"sources": [{**source, "poll_seconds": 0.05}], **changes}


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `detector quarantine` on the configuration of a service."""
    name, *rest = arguments
    path = str(folder / "detector.yaml")
    return subprocess.run(
        [sys.executable, "-m", "detector", "quarantine", name, "--config", path, *rest],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def listed(folder: Path) -> list[dict[str, Any]]:
    done = command(folder, "list", "--format", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def files(folder: Path) -> list[Path]:
    return sorted((folder / "state" / "quarantine").glob("*.json"))


def waiting(folder: Path) -> int:
    with SQLiteStore.open(folder / STATE) as store:
        return store.quarantine_counts().rows


def metric(service: Service, name: str) -> float:
    return service.metrics().get(name, 0)


def replayed(service: Service) -> dict[str, int]:
    return service.records("quarantine")


def test_a_file_is_kept_with_its_reason_and_counts_when_the_limit_is_raised(
    tmp_path: Path,
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    events = [record(at=number, eventID=f"e{number}") for number in range(3)]
    (logs / FILE).write_bytes(log_file(*events))
    (logs / "broken.json").write_bytes(b"\x1f\x8bbroken")
    (logs / "some.json").write_bytes(log_file(record(eventTime="soon"))[:-2] + b",7]}")
    with running(tmp_path, config(limits=SMALL)) as service:
        service.wait_until(lambda: len(files(tmp_path)) == 4)
        service.wait_until(lambda: metric(service, "detector_quarantine_entries") == 4)
        assert metric(service, KEPT % ("too_many_values", "logs")) == 1
        assert metric(service, "detector_quarantine_waiting") == 0
        assert metric(service, "detector_deliveries_total{result=acked}{source=logs}") == 3
        assert service.alerts == []
        found = {item["reason"]: item for item in listed(tmp_path)}
        assert found.keys() == {
            "too_many_values",
            "truncated",
            "no_event_time",
            "not_an_object",
        }
        large = found["too_many_values"]
        assert (large["origin"], large["index"]) == (str(logs / FILE), None)
        assert large["delivered_at"] == "2026-09-16T12:05:00Z"
        body = command(tmp_path, "show", "--body", large["id"]).stdout
        assert body.encode() == log_file(*events)
        assert service.stop() == 0
    # Asked for while no service runs: the next one does it.
    asked = command(tmp_path, "replay", "--all")
    assert asked.returncode == 0
    assert asked.stdout.startswith("4 entries to be replayed: ")
    with running(tmp_path, config()) as service:
        service.wait_until(lambda: replayed(service)["in"] == 6)
        assert replayed(service) == {
            "in": 6,
            "matched": 3,
            "unmatched": 0,
            "duplicate": 0,
            "skipped": 0,
            "rejected": 3,
        }
        service.wait_until(lambda: [item["count"] for item in service.alerts] == [3])
        assert service.alerts[0]["late"] is False
        # What is still not understood is back as what it was.
        service.wait_until(lambda: len(files(tmp_path)) == 3)
        again = {item["reason"]: item for item in listed(tmp_path)}
        again["not_an_object"] = again["unrecognised"]  # as by itself it could be anything
        for reason in ("truncated", "no_event_time", "not_an_object"):
            for key in ("source", "origin", "index", "bytes", "delivered_at"):
                assert again[reason][key] == found[reason][key]
        # While it runs, a second time: nothing counts twice.
        assert command(tmp_path, "replay", "--reason", "no_event_time").returncode == 0
        service.wait_until(lambda: replayed(service)["in"] == 7)
        assert command(tmp_path, "drop", "--all").stdout == "3 entries dropped\n"
        assert listed(tmp_path) == []
        assert service.stop() == 0


def test_a_replay_of_what_was_counted_before_counts_nothing(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    events = [record(at=number, eventID=f"e{number}") for number in range(3)]
    (logs / "all.json").write_bytes(log_file(*events))
    with running(tmp_path, config(limits=SMALL)) as service:
        service.wait_until(lambda: files(tmp_path))
        for number, event in enumerate(events):
            (logs / f"{number}.json").write_bytes(log_file(event))
        service.wait_until(lambda: service.records("logs")["matched"] == 3)
        assert service.stop() == 0
    command(tmp_path, "replay", "--all")
    with running(tmp_path, config()) as service:
        service.wait_until(lambda: replayed(service)["duplicate"] == 3)
        assert service.stop() == 0
    with SQLiteStore.open(tmp_path / STATE) as store:
        assert {alert.count for alert in current_alerts(store)} == {3}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("credentials")
class TestPrefix(QuarantineContract):
    @pytest.fixture(params=["some/prefix", ""])
    async def place(
        self, trail: Trail, request: pytest.FixtureRequest
    ) -> AsyncIterator[QuarantineStore]:
        address = f"s3://{trail.bucket}/{request.param}"
        place = S3Quarantine(address, region=REGION, endpoint_url=trail.endpoint)
        yield place
        await place.close()


@pytest.mark.usefixtures("credentials")
async def test_other_objects_of_a_bucket_are_no_entries(trail: Trail) -> None:
    place = S3Quarantine(f"s3://{trail.bucket}/q", region=REGION, endpoint_url=trail.endpoint)
    await place.keep(documents(made(1)))
    for key in (f"q/below/{made(2).id}.json", f"{made(3).id}.json", "q/notes.txt"):
        trail.s3.put_object(Bucket=trail.bucket, Key=key, Body=b"mine")
    assert [item.id for item in await place.listed("kept")] == [made(1).id]
    trail.s3.put_object(Bucket=trail.bucket, Key=f"q/{made(4).id}.json", Body=b"")
    (_, empty) = await place.listed("kept")
    assert await place.beginning(empty) == await place.read(empty) == b""
    await place.close()


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_that_is_not_there_is_an_error_with_a_remedy(trail: Trail) -> None:
    place = S3Quarantine("s3://no-such-bucket/q", region=REGION, endpoint_url=trail.endpoint)
    with pytest.raises(QuarantineError, match=r"PutObject: NoSuchBucket; check quarantine\.path"):
        await place.keep(documents(made(1)))
    with pytest.raises(QuarantineError, match="ListObjectsV2: NoSuchBucket"):
        await place.listed("kept")
    await place.close()


@pytest.mark.usefixtures("credentials")
async def test_an_endpoint_that_does_not_answer_is_an_error() -> None:
    place = S3Quarantine("s3://bucket", region=REGION, endpoint_url="http://127.0.0.1:1")
    with pytest.raises(QuarantineError, match="cannot be used: Could not connect to the endpoint"):
        await place.keep(documents(made(1)))
    await place.close()


def in_s3(trail: Trail, **changes: Any) -> dict[str, Any]:
    path = f"s3://{trail.bucket}/some/prefix/"
    return config(
        quarantine={"path": path, "region": REGION, "endpoint_url": trail.endpoint}, **changes
    )


def keys(trail: Trail) -> list[str]:
    found = trail.s3.list_objects_v2(Bucket=trail.bucket).get("Contents", [])
    return [item["Key"] for item in found]


@pytest.mark.usefixtures("credentials")
def test_a_prefix_of_a_bucket_does_what_a_folder_does(trail: Trail, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    body = log_file(*(record(at=number) for number in range(3)))
    (logs / FILE).write_bytes(body)
    with running(tmp_path, in_s3(trail, limits=SMALL)) as service:
        wait_for(lambda: keys(trail))
        (item,) = listed(tmp_path)
        assert keys(trail) == [f"some/prefix/{item['id']}.json"]
        assert (item["reason"], item["bytes"]) == ("too_many_values", len(body))
        service.wait_until(lambda: metric(service, "detector_quarantine_entries") == 1)
        assert service.stop() == 0
    assert command(tmp_path, "show", "--body", item["id"]).stdout.encode() == body
    assert "1 entry to be replayed" in command(tmp_path, "replay", item["id"]).stdout
    assert keys(trail) == [f"some/prefix/replay/{item['id']}.json"]
    with running(tmp_path, in_s3(trail)) as service:
        service.wait_until(lambda: replayed(service)["matched"] == 3)
        wait_for(lambda: not keys(trail))
        assert service.stop() == 0


@pytest.mark.usefixtures("credentials")
def test_what_cannot_be_written_waits_in_the_state_and_goes_when_it_can(
    tmp_path: Path,
) -> None:
    (tmp_path / "logs").mkdir()
    with moto_server(tmp_path) as host:
        trail = Trail(host)
        bucket = f"later-{trail.bucket}"
        settings = in_s3(trail)
        settings["quarantine"]["path"] = f"s3://{bucket}"
        with running(tmp_path, settings) as service:
            (tmp_path / "logs" / "a.json").write_bytes(b"broken")
            service.wait_until(lambda: metric(service, "detector_quarantine_waiting") == 1)
            service.wait_until(
                lambda: any("quarantine not written" in item["event"] for item in service.log)
            )
            # The rest of the service goes on.
            (tmp_path / "logs" / "b.json").write_bytes(log_file(record()))
            service.wait_until(lambda: service.alerts)
            assert keys_of(trail, bucket) is None
            trail.s3.create_bucket(Bucket=bucket)
            wait_for(lambda: keys_of(trail, bucket))
            service.wait_until(lambda: metric(service, "detector_quarantine_waiting") == 0)
            assert service.stop() == 0
        assert len(keys_of(trail, bucket) or []) == 1


def keys_of(trail: Trail, bucket: str) -> list[str] | None:
    names = [item["Name"] for item in trail.s3.list_buckets()["Buckets"]]
    if bucket not in names:
        return None
    found = trail.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [item["Key"] for item in found]
