"""A trail that falls silent, and a detector that hears nothing, in the real process."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.records import log_file, record
from tests.service_process import Service, running

pytestmark = pytest.mark.integration

AFTER = 2.0
A, B, C = "111122223333", "444455556666", "777788889999"
REGION = "us-east-1"
PAUSE = 0.1
"""Seconds between the files that are put there: many of them within what one pause may count."""

_numbers = itertools.count(1)


class Trails:
    """Puts log files into the folder that a service watches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logs"
        self.folder.mkdir()
        self._put_at = 0.0

    def put(self, account: str, kind: str = "CloudTrail") -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%MZ")
        name = f"{account}_{kind}_{REGION}_{moment}_{next(_numbers):016d}.json"
        (self.folder / name).write_bytes(log_file(record("GetUser")))

    def go_on(self, *accounts: str) -> None:
        """Put files of some accounts, unless that was done just now."""
        if time.monotonic() - self._put_at >= PAUSE:
            self._put_at = time.monotonic()
            for account in accounts:
                self.put(account)


def config(*expected: str, **changes: Any) -> dict[str, Any]:
    return {
        "sources": [
            {"type": "directory", "name": "logs", "path": "logs", "settle_seconds": 0.01}
            | {"poll_seconds": 0.05}
        ],
        "alerts": {"update_interval_seconds": 0.1},
        "silent_sources": {
            "after_seconds": AFTER,
            "expected": [{"account": account, "region": REGION} for account in expected],
        },
        **changes,
    }


def of(service: Service, account: str | None) -> list[dict[str, Any]]:
    """Return the alerts on an account's silence, or on that of the detector as a whole."""
    group = {"recipientAccountId": account, "awsRegion": REGION} if account else {}
    return [alert for alert in service.alerts if alert["group"] == group]


def silent(service: Service) -> float:
    return service.metrics()["detector_trails{state=silent}"]


def test_a_silent_trail_is_told_once_also_after_a_restart_and_its_return_ends_it(
    tmp_path: Path,
) -> None:
    trails = Trails(tmp_path)
    started = time.time()

    def fed(service: Service, account: str, *others: str) -> list[dict[str, Any]]:
        trails.go_on(*others)
        return of(service, account)

    with running(tmp_path, config(A, C)) as service:
        trails.put(A)
        (alert,) = service.wait_until(lambda: fed(service, A, B, C))
        assert time.time() - started >= AFTER
        assert (alert["rule_id"], alert["revision"], alert["count"]) == (
            *("detector.silent-source", 1),
            0,
        )
        assert "get-trail-status" in alert["runbook"]
        assert silent(service) == 1
        assert not of(service, C)
        assert service.metrics()["detector_last_delivery_timestamp_seconds{source=logs}"] > started
        assert service.stop() == 0
    with running(tmp_path, config(A, C)) as service:
        # When C is found silent, A would be too, if its silence had been forgotten.
        service.wait_until(lambda: fed(service, C, B))
        assert of(service, A) == []
        assert silent(service) == 2
        trails.put(A)
        (end,) = service.wait_until(lambda: fed(service, A, B))
        assert (end["id"], end["revision"]) == (alert["id"], 2)
        assert end["title"] == "CloudTrail is heard again"
        service.wait_until(lambda: silent(service) == 1)
        assert service.stop() == 0


def test_a_kill_after_the_alert_repeats_nothing(tmp_path: Path) -> None:
    trails = Trails(tmp_path)
    with running(tmp_path, config(A)) as service:

        def told() -> list[dict[str, Any]]:
            trails.go_on(B)
            return of(service, A)

        (alert,) = service.wait_until(told)
        service.kill()
    with running(tmp_path, config(A)) as service:
        service.wait_until(lambda: silent(service) == 1)
        trails.put(A)
        last = service.wait_until(lambda: of(service, A))[-1]
        assert (last["id"], last["revision"]) == (alert["id"], 2)


def test_a_detector_that_hears_nothing_says_so_once_and_a_digest_file_ends_it(
    tmp_path: Path,
) -> None:
    trails = Trails(tmp_path)
    with running(tmp_path, config(A, B)) as service:
        (alert,) = service.wait_until(lambda: service.alerts)
        assert (alert["title"], alert["group"]) == ("The detector hears nothing", {})
        trails.put(A, "CloudTrail-Digest")
        first, end = service.wait_until(lambda: service.alerts[1:] and of(service, None)[:2])
        assert first == alert
        assert (end["id"], end["revision"]) == (alert["id"], 2)
        assert of(service, A) == of(service, B) == []
        assert service.stop() == 0


def test_switched_off_nothing_is_kept_track_of(tmp_path: Path) -> None:
    trails = Trails(tmp_path)
    off = {"enabled": False, "after_seconds": 1}
    with running(tmp_path, config(silent_sources=off)) as service:
        trails.put(A)
        service.wait_until(lambda: service.records("logs")["in"] == 1)
        assert "detector_trails{state=silent}" not in service.metrics()
        assert service.stop() == 0
