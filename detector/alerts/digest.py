"""Digests: one message in place of many, with exact totals.

A sink gets a digest when there is more to say than its rate allows, or when alerts are grouped. It
is an alert of the detector's own, so that it is sent, repeated and kept as any other is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec

from detector.alerts.alert import Alert, AlertWindow, Digest, DigestEntry, utc
from detector.alerts.routing import LEVELS
from detector.alerts.text import NotificationKind
from detector.rules.rule import Level

DIGEST = "detector.digest"
"""The rule id of digests. No file has this rule."""

MAX_RULES = 50
"""Rules that a digest tells apart, those of the highest levels: more are not read."""

MAX_NAMES = 10
"""Accounts and actors named of a rule."""

MAX_ALERT_IDS = 1_000
"""Alerts that a digest names by their ids: some 36 kB."""


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """What a digest says of one notification: a part of its alert, and what it would have done.

    `count` is of the events in the alert's window. `made_at` is when it was put into the outbox,
    `series` what it has in common with those of its rule and group, `told_by` the digest in which
    alone the sink was told of its incident before.
    """

    id: str
    revision: int = 0
    kind: NotificationKind = "raised"
    rule_id: str
    title: str
    level: Level
    count: int
    first_event_time: str
    last_event_time: str
    actors: list[str] = []
    accounts: list[str] = []
    made_at: float = 0.0
    series: str = ""
    told_by: str | None = None


def digest_alert(sink: str, told: Sequence[Mention], now: float) -> Alert:
    """Return the alert that stands for notifications of a sink, at least one.

    Its id is made from theirs: put together once more, they make the same one.
    """
    ids = sorted(f"{item.id}.{item.revision}.{item.kind}" for item in told)
    identity = hashlib.sha256(msgspec.json.encode([DIGEST, sink, ids])).hexdigest()[:32]
    level = max((item.level for item in told), key=LEVELS.index)
    digest = _digest(told)
    alerts = len({item.id for item in told})
    return Alert(
        id=identity,
        revision=0,
        counting="own",
        dedup_key=identity,
        rule_id=DIGEST,
        rule_name="digest",
        title=f"{alerts} alert{'' if alerts == 1 else 's'} of {_rules(digest)}",
        status="stable",
        level=level,
        group={"sink": sink},
        window=AlertWindow(utc(min(item.made_at for item in told)), utc(now)),
        count=digest.events,
        value=alerts,
        threshold=1,
        comparison_operator="GreaterThanOrEqualToThreshold",
        late=False,
        first_event_time=min(item.first_event_time for item in told),
        last_event_time=max(item.last_event_time for item in told),
        event_names=[],
        actors=_names(name for item in told for name in item.actors),
        source_ips=[],
        regions=[],
        accounts=_names(name for item in told for name in item.accounts),
        event_ids=[],
        controls={},
        tags=[],
        description="One message in place of many: more came than this sink is to be sent one by"
        " one, or they were to be grouped. Nothing is left out of the numbers.",
        runbook="Begin with the first of these rules. `detector state alerts` lists each alert.",
        evidence=[],
        digest=digest,
    )


def resolved_digest(alert: Alert) -> Alert:
    """Return a digest of which every alert is over."""
    return msgspec.structs.replace(alert, state="resolved")


def _digest(told: Sequence[Mention]) -> Digest:
    by_rule: dict[str, list[Mention]] = {}
    for item in told:
        by_rule.setdefault(item.rule_id, []).append(item)
    entries = [_entry(rule_id, items) for rule_id, items in by_rule.items()]
    entries.sort(key=lambda entry: (-LEVELS.index(entry.level), -_number(entry), entry.title))
    return Digest(
        notifications=len(told),
        **_numbers(told),
        entries=entries[:MAX_RULES],
        more_rules=max(len(entries) - MAX_RULES, 0),
        alert_ids=sorted({item.id for item in told})[:MAX_ALERT_IDS],
    )


def _entry(rule_id: str, told: Sequence[Mention]) -> DigestEntry:
    return DigestEntry(
        rule_id=rule_id,
        title=told[0].title,
        level=max((item.level for item in told), key=LEVELS.index),
        **_numbers(told),
        accounts=_names(name for item in told for name in item.accounts),
        actors=_names(name for item in told for name in item.actors),
    )


def _number(entry: DigestEntry) -> int:
    return entry.raised + entry.updated + entry.resolved


def _numbers(told: Sequence[Mention]) -> dict[str, int]:
    """Return how many notifications there are of each kind, and of how many events."""
    kinds = Counter(item.kind for item in told)
    return {kind: kinds[kind] for kind in get_args(NotificationKind)} | {
        "events": sum(item.count for item in told)
    }


def _names(names: Iterable[str]) -> list[str]:
    return sorted(set(names))[:MAX_NAMES]


def _rules(digest: Digest) -> str:
    number = len(digest.entries) + digest.more_rules
    return digest.entries[0].title if number == 1 else f"{number} rules"
