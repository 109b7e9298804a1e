"""The wall clock set back by an hour: nothing is lost or counted twice, no alert waits it out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import shifted_clock
from tests.faults.traffic import IAM_RULE
from tests.hook import Hook
from tests.records import record, zipped_log_file
from tests.service_process import Service, running

pytestmark = pytest.mark.faults

HOUR = 3600
UPDATE_INTERVAL = 0.2


class Setting:
    """A service on a folder, whose clock can be set; alerts go to a webhook."""

    def __init__(self, folder: Path, hook: Hook) -> None:
        self.hook = hook
        self._folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir()
        self._shift = folder / "shift"
        self.set_clock(0)

    def set_clock(self, seconds: float) -> None:
        """Set the service's clock, ahead or back by this against the machine's."""
        new = self._shift.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._shift)

    def put(self, *records: dict[str, Any]) -> None:
        """Deliver a log file."""
        name = f"{len(list(self._logs.iterdir())):03d}.json.gz"
        hidden = self._logs / f".{name}"
        hidden.write_bytes(zipped_log_file(*records))
        hidden.rename(self._logs / name)

    def service(self) -> AbstractContextManager[Service]:
        """Run the service."""
        config = {
            "sources": [
                {
                    "type": "directory",
                    "name": "logs",
                    "path": "logs",
                    "settle_seconds": 0,
                    "poll_seconds": 0.02,
                }
            ],
            "sinks": [{"type": "webhook", "url": self.hook.url}],
            "rules": [str(IAM_RULE)],
            "alerts": {"update_interval_seconds": UPDATE_INTERVAL},
        }
        program = shifted_clock.__file__, str(self._shift)
        return running(self._folder, config, program=program)

    def wait_for_counts(self, service: Service, *counts: int) -> None:
        """Wait until the webhook has been told these counts; never a greater one."""
        service.wait_until(lambda: sorted(self.hook.counts().values()) == sorted(counts))


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with Hook() as hook:
        yield Setting(tmp_path, hook)


def test_after_a_jump_back_an_alert_that_is_known_is_updated_at_once(setting: Setting) -> None:
    known = record()
    with setting.service() as service:
        setting.put(known)
        setting.wait_for_counts(service, 1)
        setting.set_clock(-HOUR)
        setting.put(known, record())
        setting.wait_for_counts(service, 2)
        assert service.records("logs")["duplicate"] == 1
        assert service.stop() == 0


def test_after_a_jump_back_a_new_alert_is_sent_at_once(setting: Setting) -> None:
    with setting.service() as service:
        setting.put(record())
        setting.wait_for_counts(service, 1)
        setting.set_clock(-HOUR)
        setting.put(record(at=HOUR))
        setting.wait_for_counts(service, 1, 1)
        assert service.stop() == 0


def test_a_start_an_hour_before_the_last_end_updates_an_alert_that_is_known_at_once(
    setting: Setting,
) -> None:
    known = record()
    with setting.service() as service:
        setting.put(known)
        setting.wait_for_counts(service, 1)
        service.kill()
    setting.set_clock(-HOUR)
    with setting.service() as service:
        setting.put(known, record())
        setting.wait_for_counts(service, 2)
        assert service.records("logs")["duplicate"] == 1
        assert service.stop() == 0


def test_a_start_an_hour_before_the_last_end_sends_at_once_what_was_waiting_then(
    setting: Setting,
) -> None:
    with setting.service() as service:
        setting.hook.then = 503
        setting.put(record())
        service.wait_until(lambda: setting.hook.ids(503))
        setting.hook.then = 200
        service.wait_until(lambda: "alert not delivered yet" in service.errors)
        service.kill()
    setting.hook.last.clear()
    setting.set_clock(-HOUR)
    with setting.service() as service:
        setting.wait_for_counts(service, 1)
        assert service.stop() == 0


def test_after_a_jump_back_an_alert_that_a_receiver_could_not_take_is_tried_again_soon(
    setting: Setting,
) -> None:
    with setting.service() as service:
        setting.hook.then = 503
        setting.put(record())
        service.wait_until(lambda: "alert not delivered yet" in service.errors)
        setting.set_clock(-HOUR)
        setting.hook.then = 200
        service.wait_until(lambda: setting.hook.ids(200))
        assert service.stop() == 0


def test_a_clock_that_jumps_again_and_again_loses_nothing_and_counts_nothing_twice(
    setting: Setting,
) -> None:
    events = [record() for _ in range(60)]
    with setting.service() as service:
        for number, shift in enumerate([0, -HOUR, HOUR, -2 * HOUR, 0], start=1):
            setting.set_clock(shift)
            for end in range(12 * number - 11, 12 * number + 1):
                setting.put(*events[:end])
            read = (12 * number) * (12 * number + 1) // 2
            service.wait_until(lambda read=read: service.records("logs")["in"] == read)  # type: ignore[misc]
        account = service.records("logs")
        assert (account["matched"], account["duplicate"]) == (60, account["in"] - 60)
        setting.wait_for_counts(service, 60)
        assert service.stop() == 0
