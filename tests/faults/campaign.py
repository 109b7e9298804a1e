"""One state over many lives of the service, each ended by SIGKILL; what must hold at the end."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from detector.alerts.alert import Alert
from detector.counting.current import current_alerts
from detector.pipeline import Settings
from detector.replay import Replay, replay
from detector.rules.loader import load_rules
from detector.rules.ruleset import RuleSet
from detector.state.report import inspect
from detector.state.sqlite import SQLiteStore
from tests.aws import CREDENTIALS, Trail
from tests.faults.received import Received
from tests.faults.traffic import RULES, Traffic
from tests.hook import Hook
from tests.service_process import DETECTOR, Service, running
from tests.waiting import PATIENCE, pause

FILES_A_LIFE = 10
"""Enough for a second of work: most kills come while there is some."""

ENOUGH_WAITING = 60
"""Messages on the queue above which a life gets but one file more: else the queue would grow with
every kill, and the last life have hours to do."""

LOOKS_A_FILE = 30
"""While a life lasts longer than its work, it gets another file every 0.3 s."""

UPDATE_INTERVAL = 0.3
"""Short, so that alerts are sent again and again while the service is killed."""

QUIET_SECONDS = 1
"""Short, so that episodes are resolved and opened again in the middle of it all."""

VISIBILITY_SECONDS = 6
"""The shortest there is: so long is hidden what a killed service had in hand."""


@dataclass(slots=True)
class Campaign:
    """Events from a queue or from a folder; alerts to a webhook, and with a queue to a topic."""

    folder: Path
    config: dict[str, Any]
    traffic: Traffic
    hook: Hook
    chance: random.Random
    trail: Trail | None = None
    webhook: Received = field(default_factory=Received)
    topic: Received = field(default_factory=Received)
    kills: Counter[str] = field(default_factory=Counter)
    """How often it was killed, by the moment."""
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.hook.take = self.webhook.take

    @contextmanager
    def life(
        self, env: dict[str, str] | None = None, program: Sequence[str] = DETECTOR
    ) -> Iterator[Service]:
        """Run the service with something to do."""
        enough = self.trail is not None and sum(self.trail.queue_counts()) > ENOUGH_WAITING
        self.traffic.give(1 if enough else FILES_A_LIFE)
        self._take_published()
        with running(self.folder, self.config, {**CREDENTIALS, **(env or {})}, program) as service:
            yield service

    def kill_by_itself(self, moment: str, env: dict[str, str], program: Sequence[str]) -> None:
        """Let the service work until it dies as it was told to; `moment` is what it then says."""
        with self.life(env, program) as service:
            self._give_until(lambda: service.process.poll() is not None)
            assert service.process.wait() == -signal.SIGKILL, service.errors
            assert service.errors.endswith(f"died: {moment}\n")
        self.kills[moment] += 1

    def kill_at_random(self) -> None:
        """Kill at the start, in the middle of work, while a receiver holds an alert, at a stop."""
        chance, hook = self.chance, self.hook
        moment = chance.choice(["starting", "working", "sending", "stopping"])
        with self.life() as service:
            if moment == "starting":
                pause(chance.uniform(0, 1.0))
            else:
                assert service.address
                pause(chance.uniform(0, 0.4))
            if moment in {"sending", "stopping"}:
                hook.is_open.clear()
                before = len(hook.received)
                self._give_until(lambda: len(hook.received) > before)
            if moment == "stopping":
                service.process.send_signal(signal.SIGTERM)
                pause(chance.uniform(0, 0.2))
            service.kill()
            hook.is_open.set()
            assert service.process.returncode == -signal.SIGKILL, service.errors
        self.kills[moment] += 1

    def finish(self) -> Replay:
        """Let the service do what is left, undisturbed; check everything against a replay."""
        loaded = load_rules(RULES)
        assert loaded.errors == []
        rules = RuleSet(loaded.rules, loaded.correlations)
        expected = replay(rules, [self.traffic.folder], Settings(quiet=QUIET_SECONDS))
        counts = {alert.id: alert.count for alert in expected.alerts}
        with running(self.folder, self.config, CREDENTIALS) as service:
            self._wait_while_there_is_progress(service, lambda: self._is_done(counts))
            assert service.stop() == 0
        self._take_published()
        for received in self._receivers():
            assert received.differing == []
            assert received.counts() == counts
        with SQLiteStore.open(self._state) as store:
            kept = current_alerts(store)
        windows = {rule.id for rule in loaded.rules}
        assert [comparable(alert, windows) for alert in by_id(kept)] == [
            comparable(alert, windows) for alert in by_id(expected.alerts)
        ]
        for received in self._receivers():
            assert [said(received.latest[alert.id]) for alert in by_id(kept)] == [
                said(msgspec.to_builtins(alert)) for alert in by_id(kept)
            ]
        return expected

    def figures(self, expected: Replay) -> str:
        """Return a line of what was done."""
        account = expected.accounting
        moments = ", ".join(f"{count} {moment}" for moment, count in sorted(self.kills.items()))
        copies = self.webhook.copies + self.topic.copies
        repeated = self.webhook.repeated + self.topic.repeated
        return (
            f"{self.kills.total()} kills ({moments}); {expected.files} files, announced"
            f" {self.traffic.announced} times; {account.received} records, of them"
            f" {account.matched} events matched and {account.duplicate} second copies;"
            f" {len(expected.alerts)} alerts, {copies} notifications, {repeated} of them repeated;"
            f" {time.monotonic() - self.started:.0f} s"
        )

    def _give_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that comes true if only there is enough to do."""
        deadline = time.monotonic() + PATIENCE
        for looks in itertools.count(1):
            if condition():
                return
            assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
            if looks % LOOKS_A_FILE == 0:
                self.traffic.give(1)
            pause(0.01)

    def _is_done(self, counts: dict[str, int]) -> bool:
        """Whether receivers know all, and neither the queue nor the outbox has anything more."""
        self._take_published()
        if any(received.counts() != counts for received in self._receivers()):
            return False
        if self.trail is not None and self.trail.queue_counts() != (0, 0):
            return False
        return all(entries.state != "pending" for entries in inspect(self._state).outbox)

    def _receivers(self) -> list[Received]:
        return [self.webhook, self.topic] if self.trail else [self.webhook]

    @property
    def _state(self) -> Path:
        return self.folder / "state" / "detector.sqlite3"

    def _wait_while_there_is_progress(
        self, service: Service, condition: Callable[[], bool]
    ) -> None:
        """Wait for a condition, or until nothing has come to the receivers for a while."""
        copies, since = 0, time.monotonic()
        while not condition() and time.monotonic() - since < PATIENCE:
            assert service.process.poll() is None, service.errors
            if copies != (copies := self.webhook.copies + self.topic.copies):
                since = time.monotonic()
            pause(0.05)

    def _take_published(self) -> None:
        if self.trail is not None:
            for alert in self.trail.published():
                self.topic.take(alert)


def by_queue(folder: Path, trail: Trail, hook: Hook, seed: int) -> Campaign:
    """Return a campaign on S3 objects that a queue announces."""
    chance = random.Random(seed)  # noqa: S311
    config = trail.config(visibility_timeout_seconds=VISIBILITY_SECONDS)
    config["sinks"].append({"type": "webhook", "url": hook.url})
    traffic = Traffic(folder / "logs", chance, lambda path: trail.put(path.name, path.read_bytes()))
    return Campaign(folder, _completed(config), traffic, hook, chance, trail)


def by_folder(folder: Path, hook: Hook, seed: int) -> Campaign:
    """Return a campaign on files in a folder: one that is announced again has a new time."""
    chance = random.Random(seed)  # noqa: S311
    source = {"type": "directory", "path": "logs", "settle_seconds": 0, "poll_seconds": 0.02}
    config = {"sources": [source], "sinks": [{"type": "webhook", "url": hook.url}]}
    traffic = Traffic(folder / "logs", chance, Path.touch)
    return Campaign(folder, _completed(config), traffic, hook, chance)


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "rules": [str(path) for path in RULES],
        "alerts": {
            "update_interval_seconds": UPDATE_INTERVAL,
            "quiet_seconds": QUIET_SECONDS,
        },
        "silent_sources": {"enabled": False},
    }


def by_id(alerts: Sequence[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: alert.id)


def said(alert: dict[str, Any]) -> dict[str, Any]:
    """Return what the last message of an alert and its state must agree in.

    By which name receivers know its incident, and how far that is, goes on without the alert.
    """
    return {
        name: value
        for name, value in alert.items()
        if name not in {"kind", "episode", "dedup_key", "revision", "state"}
    }


def comparable(alert: Alert, windows: set[str]) -> Alert:
    """Return what does not depend on how events came to be split over transactions.

    Of the matches of a correlation those keep their records that came first.
    """
    evidence = alert.evidence if alert.rule_id in windows else []
    # Who was told what first, and whether it is over, is a matter of arrival and of the clock.
    return msgspec.structs.replace(alert, revision=0, evidence=evidence, dedup_key="", state="open")
