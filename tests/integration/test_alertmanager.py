"""The Alertmanager sink against the real Alertmanager."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector.alerts.alert import Alert, AlertWindow, utc
from detector.config import AlertmanagerSinkConfig
from detector.sinks.alertmanager import AlertmanagerSink
from detector.sinks.sink import Delivered, Permanent, Refreshing, Retry
from detector.state.store import Notification
from tests.alerts import alert
from tests.records import log_file, record
from tests.servers import free_port
from tests.servers.alertmanager import (
    RESOLVE_TIMEOUT_SECONDS,
    Alertmanager,
    Receiver,
    alertmanager,
)
from tests.service_process import running
from tests.sinks import opened
from tests.waiting import until, wait_for

pytestmark = pytest.mark.integration

RESEND_SECONDS = 1.0
"""What is not sent again is over after four of them: longer than Alertmanager's own timeout, and
than a shared machine pauses."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Alertmanager]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager"), receiver) as server:
        yield server


def incident(name: str, **changes: Any) -> Alert:
    """Return an alert of an incident that began a minute ago."""
    ago = datetime.now(UTC).timestamp() - 60
    made = msgspec.structs.replace(
        alert(),
        id=name,
        dedup_key=name,
        first_event_time=utc(ago),
        last_event_time=utc(ago),
        window=AlertWindow(utc(ago - 60), utc(ago + 240)),
    )
    return msgspec.structs.replace(made, **changes)


@asynccontextmanager
async def sink_to(*addresses: str, **settings: Any) -> AsyncIterator[AlertmanagerSink]:
    config = AlertmanagerSinkConfig(
        name="am", urls=addresses, **{"resend_seconds": RESEND_SECONDS, **settings}
    )
    async with opened(config) as sink:
        assert isinstance(sink, AlertmanagerSink)
        assert isinstance(sink, Refreshing)
        yield sink


async def statuses(receiver: Receiver, name: str, *expected: str) -> None:
    await until(lambda: len(receiver.statuses(name)) >= len(expected))
    assert receiver.statuses(name) == list(expected)


async def test_an_alert_fires_while_it_is_refreshed_and_ends_when_it_is_resolved(
    server: Alertmanager, receiver: Receiver
) -> None:
    made = incident("kept")
    async with sink_to(server.address) as sink:
        assert await sink.send(Notification(made)) == Delivered()
        await statuses(receiver, "kept", "firing")
        begun = asyncio.get_running_loop().time()
        # For longer than it would last by itself, and than Alertmanager's own timeout.
        longest = max(RESOLVE_TIMEOUT_SECONDS, 4 * RESEND_SECONDS)
        while asyncio.get_running_loop().time() < begun + 1.5 * longest:
            assert await sink.refresh([Notification(made)]) == Delivered()
            assert server.incident("kept") is not None
            await asyncio.sleep(RESEND_SECONDS / 2)
        assert receiver.statuses("kept") == ["firing"]
        over = msgspec.structs.replace(made, state="resolved")
        assert await sink.send(Notification(over, "resolved")) == Delivered()
        await statuses(receiver, "kept", "firing", "resolved")
    assert server.incident("kept") is None


async def test_an_alert_that_is_not_refreshed_ends_by_itself(
    server: Alertmanager, receiver: Receiver
) -> None:
    async with sink_to(server.address) as sink:
        assert await sink.send(Notification(incident("forgotten"))) == Delivered()
        await statuses(receiver, "forgotten", "firing", "resolved")


async def test_an_update_changes_what_is_shown_and_not_which_alert_it_is(
    server: Alertmanager, receiver: Receiver
) -> None:
    made = incident("updated")
    async with sink_to(server.address, resend_seconds=60) as sink:
        await sink.send(Notification(made))
        more = msgspec.structs.replace(made, revision=1, count=7, actors=["alice", "mallory"])
        assert await sink.send(Notification(more, "updated")) == Delivered()
        shown = server.incident("updated")
        assert shown is not None
        assert shown["annotations"]["count"] == "7"
        assert shown["annotations"]["actors"] == "alice, mallory"
        assert shown["startsAt"].startswith(made.first_event_time[:19])


async def test_windows_of_one_incident_are_one_alert_and_the_newest_is_shown(
    server: Alertmanager,
) -> None:
    first = incident("episode", count=1)
    later = msgspec.structs.replace(
        first, id="later", count=9, window=AlertWindow(utc(4e9), utc(4e9 + 300))
    )
    async with sink_to(server.address, resend_seconds=60) as sink:
        assert await sink.refresh([Notification(later), Notification(first)]) == Delivered()
    shown = server.incident("episode")
    assert shown is not None
    assert shown["annotations"]["count"] == "9"


async def test_more_alerts_than_one_request_holds_are_all_refreshed(server: Alertmanager) -> None:
    many = [Notification(incident(f"many-{number}")) for number in range(450)]
    async with sink_to(server.address, resend_seconds=60) as sink:
        assert await sink.refresh(many) == Delivered()
    shown = {item["labels"]["incident"] for item in server.alerts()}
    assert {f"many-{number}" for number in range(450)} <= shown


async def test_hostile_names_are_taken_and_stay_data(server: Alertmanager) -> None:
    hostile = (
        "<b>\u202e*x*_ [a](https://evil) \"'`\n\x00\x1b[31m \ud83d\ude00 {{ .Labels }} "
        + "y" * 10_000
    )
    hostile = hostile.encode("utf-16", "surrogatepass").decode("utf-16")
    made = incident(
        "hostile",
        title=hostile,
        actors=[hostile],
        group={"userAgent": hostile, "__name__": hostile, "user.agent": 1, "user_agent": True},
    )
    async with sink_to(server.address, resend_seconds=60) as sink:
        assert await sink.send(Notification(made)) == Delivered()
    shown = server.incident("hostile")
    assert shown is not None
    labels = shown["labels"]
    assert set(labels) == {
        *("alertname", "severity", "rule_id", "incident"),
        *("userAgent", "name", "user_agent", "user_agent_2"),
    }
    assert len(labels["userAgent"]) == 1024
    assert not any(ord(sign) < 32 for value in labels.values() for sign in value)


async def test_events_with_times_in_the_future_do_not_keep_an_alert_from_ending(
    server: Alertmanager, receiver: Receiver
) -> None:
    made = incident("future", first_event_time=utc(4e9), last_event_time=utc(4e9))
    async with sink_to(server.address, resend_seconds=60) as sink:
        assert await sink.send(Notification(made)) == Delivered()
        await statuses(receiver, "future", "firing")
        assert await sink.send(Notification(made, "resolved")) == Delivered()
        await statuses(receiver, "future", "firing", "resolved")


async def test_one_of_several_alertmanagers_is_enough_and_the_other_is_spoken_of(
    server: Alertmanager, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    async with sink_to(away, server.address + "/") as sink:
        assert await sink.send(Notification(incident("one"))) == Delivered()
    assert "another has" in capsys.readouterr().out
    async with sink_to(away, away) as sink:
        answer = await sink.send(Notification(incident("none")))
    assert isinstance(answer, Retry)
    assert "127.0.0.1: no connection" in answer.why


async def test_what_is_no_alertmanager_refuses_for_good(server: Alertmanager) -> None:
    async with sink_to(server.address + "/nothing-here") as sink:
        answer = await sink.send(Notification(incident("lost")))
    assert isinstance(answer, Permanent)
    assert answer.why.startswith("127.0.0.1 answered 404")


async def test_alertmanagers_own_words_are_in_the_reason(
    server: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "detector.sinks.alertmanager.sink.postable",
        lambda *_, **__: {"labels": {"no name": "x"}, "startsAt": "2026-01-01T00:00:00Z"},
    )
    async with sink_to(server.address) as sink:
        answer = await sink.send(Notification(incident("bad")))
    assert isinstance(answer, Permanent)
    assert "answered 400" in answer.why
    assert "invalid label set" in answer.why


def test_the_service_keeps_an_incident_firing_over_a_restart_until_it_has_been_quiet(
    server: Alertmanager, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    config = {
        "sources": [{"type": "directory", "path": "logs", "settle_seconds": 0.01}],
        "sinks": [
            {
                "type": "alertmanager",
                "urls": [server.address],
                "resend_seconds": RESEND_SECONDS,
            },
            {"type": "stdout", "format": "json"},
        ],
        # So long that nothing but what is sent again keeps it firing.
        "alerts": {"quiet_seconds": 12, "late_after_seconds": 1},
    }
    begun = time.monotonic()
    with running(tmp_path, config) as service:
        made = record(at=0, eventTime=utc(math.floor(time.time())))
        (tmp_path / "logs" / "a.json").write_bytes(log_file(made))
        service.wait_until(lambda: service.alerts)
        (raised,) = service.alerts
        wait_for(lambda: receiver.statuses(raised["dedup_key"]) == ["firing"])
        assert service.stop() == 0
    with running(tmp_path, config) as service:
        wait_for(lambda: len(receiver.statuses(raised["dedup_key"])) == 2, patience=60)
        # It ended as it was told to, and not before: Alertmanager alone would have ended it.
        assert receiver.statuses(raised["dedup_key"]) == ["firing", "resolved"]
        assert time.monotonic() - begun > 12
        service.wait_until(lambda: [item["kind"] for item in service.alerts] == ["resolved"])
