"""What a receiver was told, read back from the messages that it took.

Machine-readable where the message is; from the words on the screen where only people read it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from detector.sinks.pagerduty.event import CLIENT
from tests.servers.checking import Received
from tests.servers.slack import displayed, text_objects
from tests.servers.teams import elements

_MESSAGE = re.compile(r"message (?P<id>[0-9a-f]{32})\.\d+\.(?P<kind>raised|updated|resolved)")
_KINDS = re.compile(r"(\d+) (raised|updated|resolved)")
_EVENTS = re.compile(r"(\d+) events? in all")
_RULE = re.compile(r"\[[A-Z]+\] (?P<title>.+?): (?P<kinds>.+?), (?P<events>\d+) events?\b")


@dataclass(frozen=True, slots=True)
class Told:
    """One message. Of a digest `kinds` counts what it stands for, `rules` that by the rules named.

    `events` are a digest's. Rules are known by their titles; of a single alert it is within `text`.
    """

    id: str
    kind: str
    at: float
    text: str = ""
    is_digest: bool = False
    kinds: Counter[str] = field(default_factory=Counter)
    events: int = 0
    rules: dict[str, Counter[str]] = field(default_factory=dict)
    alert_ids: tuple[str, ...] = ()


def told_by_slack(request: Received) -> Told:
    """Return what a message to Slack says."""
    return _of_texts(request, [displayed(text) for text in text_objects(request.json)])


def told_by_teams(request: Received) -> Told:
    """Return what a card says."""
    (attachment,) = request.json["attachments"]
    texts = [
        run["text"]
        for element in elements(attachment["content"])
        for run in element.get("inlines", [])
    ]
    return _of_texts(request, texts)


def told_by_pagerduty(request: Received) -> Told:
    """Return what an event says; one that resolves has nothing but the incident's key."""
    event = request.json
    if event["event_action"] == "resolve":
        return Told(event["dedup_key"], "resolved", request.at)
    assert event["client"] == CLIENT
    alert = event["payload"]["custom_details"]["alert"]
    return _of_alert(alert, alert["kind"], request.at, event["payload"]["summary"])


def told_by_webhook(request: Received) -> Told:
    """Return what a message of Standard Webhooks says."""
    alert = request.json["data"]
    kind = request.headers["webhook-id"].rpartition(".")[2]
    return _of_alert(alert, kind, request.at, alert["title"])


def _of_alert(alert: Any, kind: str, at: float, text: str) -> Told:
    digest = alert.get("digest")
    if digest is None:
        return Told(alert["id"], kind, at, text)
    assert not digest["more_rules"]
    return Told(
        alert["id"],
        kind,
        at,
        text,
        is_digest=True,
        kinds=_kinds_of(digest),
        events=digest["events"],
        rules={entry["title"]: _kinds_of(entry) for entry in digest["entries"]},
        alert_ids=tuple(digest["alert_ids"]),
    )


def _kinds_of(counts: Any) -> Counter[str]:
    return Counter({kind: counts[kind] for kind in ("raised", "updated", "resolved")})


def _of_texts(request: Received, texts: list[str]) -> Told:
    (message,) = filter(None, map(_MESSAGE.search, texts))
    # The row that says what a digest stands for: "3 raised, 1 updated; 9 events in all".
    counted = next(((text, found) for text in texts if (found := _EVENTS.search(text))), None)
    told = Told(message["id"], message["kind"], request.at, texts[0])
    if counted is None:
        return told
    text, events = counted
    return Told(
        told.id,
        told.kind,
        told.at,
        told.text,
        is_digest=True,
        kinds=_kinds_in(text),
        events=int(events[1]),
        rules=dict(_rules_in(texts)),
    )


def _rules_in(texts: list[str]) -> Iterator[tuple[str, Counter[str]]]:
    for text in texts:
        if found := _RULE.search(text):
            yield found["title"], _kinds_in(found["kinds"])


def _kinds_in(text: str) -> Counter[str]:
    return Counter({kind: int(number) for number, kind in _KINDS.findall(text)})
