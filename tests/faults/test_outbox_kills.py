"""SIGKILL while a webhook fails that is sent to: nothing is lost, and little is repeated."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.digest import DIGEST
from tests.faults import conftest
from tests.faults.conftest import Figures
from tests.faults.traffic import ACCOUNTS, IAM_RULE
from tests.records import ACCOUNT, NOON, record, zipped_log_file
from tests.servers.checking import Answer, Fault
from tests.servers.standard_webhooks import StandardWebhooksServer
from tests.service_process import Service, running
from tests.waiting import PATIENCE, pause

pytestmark = pytest.mark.faults

KILLS = max(1, conftest.KILLS // 2)

ALERTS_A_LIFE = 30
"""Some of them go as themselves, and the most of them in digests."""

BURST, EVERY_SECONDS = 5, 0.4
"""The webhook's rate: what one life has to say goes out in a few of these, in two messages each."""

WINDOW_SECONDS = 3 * 300
"""From one event to the next: two windows that are empty make each an incident of its own."""

FAULTS: list[Fault | None] = [
    *[None] * 10,
    Fault(answer=Answer(429, "", {"Retry-After": "0.2"})),
    Fault(answer=Answer(500, "oops")),
    *[Fault(reset=True), Fault(cut=True)] * 2,
    Fault(reset=True, taken=True),
    Fault(cut=True, taken=True),
]
"""What may happen to a request, each as likely as the others."""


class FailingWebhook(StandardWebhooksServer):
    """Fails at random as long as it is told to; `lost` counts answers to what it has taken."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.faults = [chance.choice(FAULTS) for _ in range(100_000)]
        self._given = list(self.faults)

    @property
    def requests(self) -> int:
        """How many it got."""
        return len(self.accepted) + len(self.refused) + len(self.faulted)

    @property
    def lost(self) -> int:
        """How many answers were lost, of those that may have been asked for."""
        used = self._given[: len(self._given) - len(self.faults)]
        return sum(fault is not None and fault.taken for fault in used)

    def recover(self) -> None:
        """Fail no more."""
        del self._given[len(self._given) - len(self.faults) :]
        self.faults = []


@dataclass
class Told:
    """All that the webhook was told; `copies` counts by the message's id."""

    copies: Counter[str] = field(default_factory=Counter)
    raised: set[str] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)
    digests: dict[str, dict[str, Any]] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    """The digests of which it was told that they are over."""

    @classmethod
    def by(cls, webhook: StandardWebhooksServer) -> Told:
        """Return what it has taken; all copies of a message must be alike."""
        told = cls()
        first: dict[str, Any] = {}
        for request in webhook.accepted:
            identity, message = request.headers["webhook-id"], request.json
            alert = message["data"]
            alert.pop("episode")  # how far that is, is told as it is
            assert first.setdefault(identity, message) == message
            told.copies[identity] += 1
            if alert["rule_id"] != DIGEST:
                {"raised": told.raised, "resolved": told.resolved}[alert["kind"]].add(alert["id"])
            elif alert["kind"] == "resolved":
                told.over.add(alert["id"])
            else:  # one that tells of ends alone pages nobody, and is an update
                told.digests[alert["id"]] = alert["digest"]
        return told


class Account:
    """The state's own account of what it has told."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state" / "detector.sqlite3"

    def is_done(self, alerts: int) -> bool:
        """Return whether so many alerts are told, and are over."""
        (known,) = self._ask(
            "SELECT count(*), count(*) FILTER (WHERE state = 'open') FROM alerts"
            " JOIN alert_bodies USING (id) WHERE body ->> 'rule_id' != ?",
            DIGEST,
        )
        ((pending,),) = self._ask("SELECT count(*) FROM outbox WHERE state = 'pending'")
        return known == (alerts, 0) and pending == 0

    def told_by(self) -> dict[str, str | None]:
        """Return of each alert the digest in which it was raised, None for one that was itself."""
        return dict(
            self._ask(
                "SELECT alert_id, digest FROM outbox JOIN alert_bodies ON id = alert_id"
                " WHERE body ->> 'rule_id' != ?",
                DIGEST,
            )
        )

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()


class Events:
    """Files of events, each of which is an alert; by the time of the next file it is over."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.alerts = 0
        self._files = 0

    def give(self, alerts: int) -> None:
        """Write a file."""
        events = list(self._events(alerts))
        at = datetime.fromtimestamp(NOON + self.alerts * WINDOW_SECONDS, UTC)
        name = f"{ACCOUNT}_CloudTrail_us-east-1_{at:%Y%m%dT%H%MZ}_{self._files:016d}.json.gz"
        self._files += 1
        hidden = self.folder / f".{name}"
        hidden.write_bytes(zipped_log_file(*events))
        hidden.rename(self.folder / name)

    def end(self) -> None:
        """Write files without events, by the time of which all is over."""
        self._files += 1
        self.alerts, alerts = self.alerts + 10, self.alerts
        self.give(0)
        self.alerts = alerts

    def _events(self, number: int) -> Iterator[dict[str, Any]]:
        for _ in range(number):
            account = ACCOUNTS[self.alerts % len(ACCOUNTS)]
            yield record(at=self.alerts * WINDOW_SECONDS, recipientAccountId=account)
            self.alerts += 1


def config(webhook: FailingWebhook) -> dict[str, Any]:
    rate = {"burst": BURST, "every_seconds": EVERY_SECONDS}
    return {
        "sources": [
            {"type": "directory", "path": "logs", "settle_seconds": 0, "poll_seconds": 0.02}
        ],
        "sinks": [{"type": "webhook", "url": f"{webhook.address}/in", "rate": rate}],
        "rules": [str(IAM_RULE)],
        "alerts": {"quiet_seconds": 1, "late_after_seconds": 1},
        "silent_sources": {"enabled": False},
    }


def kill_while_it_sends(
    service: Service, webhook: FailingWebhook, events: Events, chance: random.Random
) -> None:
    """Kill a service some messages after its start, for which there must be enough to tell."""
    messages = webhook.requests + chance.randint(1, BURST + 3)
    deadline = time.monotonic() + PATIENCE
    while webhook.requests < messages:
        assert service.process.poll() is None, service.errors
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        pause(0.1)
        if service.logged("started"):
            events.give(1)
    pause(chance.uniform(0, 0.1))
    service.kill()
    assert service.process.returncode == -signal.SIGKILL, service.errors


def test_kills_while_a_webhook_fails_lose_no_alert_and_no_number_of_a_digest(
    tmp_path: Path, figures: Figures
) -> None:
    chance = random.Random(7)  # noqa: S311
    events, account = Events(tmp_path / "logs"), Account(tmp_path)
    with FailingWebhook(chance) as webhook:
        for _ in range(KILLS):
            events.give(ALERTS_A_LIFE)
            with running(tmp_path, config(webhook)) as service:
                kill_while_it_sends(service, webhook, events, chance)
        events.end()
        webhook.recover()
        lost = webhook.lost
        with running(tmp_path, config(webhook)) as service:
            service.wait_until(lambda: account.is_done(events.alerts))
            assert service.stop() == 0
    assert webhook.refused == []
    told, told_by = Told.by(webhook), account.told_by()
    assert len(told_by) == events.alerts
    in_digests = Counter(digest for digest in told_by.values() if digest is not None)
    # Every alert is told: as itself, or in a digest that was sent.
    as_themselves = {alert for alert, digest in told_by.items() if digest is None}
    assert as_themselves <= told.raised
    assert set(in_digests) <= set(told.digests)
    assert told.resolved <= told.raised
    check_digests(told, told_by, in_digests)
    assert max(told.copies.values()) <= 1 + KILLS + lost
    repeated = told.copies.total() - len(told.copies)
    assert repeated <= lost + KILLS * BURST
    figures(
        f"{KILLS} kills; {webhook.requests} requests, of them {len(webhook.faulted)} failed,"
        f" {lost} of these taken; {events.alerts} alerts, {len(as_themselves)} of them told as"
        f" themselves and {in_digests.total()} in {len(in_digests)} digests; {repeated} messages"
        f" repeated, the most of one {max(told.copies.values())} times;"
        f" {len(told.raised - as_themselves)} alerts told both ways"
    )


def check_digests(told: Told, told_by: dict[str, str | None], in_digests: Counter[str]) -> None:
    """Check that every number of every digest is that of the alerts that it stands for."""
    ended = set(told.resolved)
    for identity, digest in told.digests.items():
        assert digest["raised"] == in_digests[identity]
        assert digest["updated"] == 0
        assert digest["notifications"] == digest["raised"] + digest["resolved"]
        assert digest["events"] == digest["notifications"]  # each alert is of one event
        for number in ("raised", "updated", "resolved", "events"):
            assert sum(entry[number] for entry in digest["entries"]) == digest[number]
        stood_for = {alert for alert, told_in in told_by.items() if told_in == identity}
        assert stood_for <= set(digest["alert_ids"])
        assert len(digest["alert_ids"]) <= digest["notifications"]
        ended |= set(digest["alert_ids"]) - stood_for
    # Of what was told as itself the end is told too: as itself, or in a digest.
    assert {alert for alert, digest in told_by.items() if digest is None} <= ended
    assert set(in_digests) == told.over
