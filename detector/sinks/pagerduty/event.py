"""An event for PagerDuty: what opens an incident, adds to it, or closes it.

All events with one dedup_key are one incident while it is open, so that an update pages nobody.

Source: PagerDuty developer documentation, Events API v2, "Send an alert event"; PD-CEF.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from detector.alerts.alert import Alert, utc
from detector.alerts.story import MAX_ROWS, Story
from detector.alerts.text import clean
from detector.rules.rule import Level
from detector.sinks.chat import MAX_LINKS, Words, safe_links
from detector.sinks.cutting import cut
from detector.sinks.sink import message_id
from detector.state.store import Notification

MAX_EVENT_BYTES = 512_000
"""PagerDuty takes 512 KB, and does not say which; this is the lesser."""

MAX_SUMMARY = 1_024
MAX_DEDUP_KEY = 255

MAX_SOURCE = 255
"""No limit is stated for source, component, group and class: what fits into a list is enough."""

CLIENT = "cloudtrail-detector"

Severity = Literal["critical", "error", "warning", "info"]

SEVERITIES: dict[Level, Severity] = {
    "critical": "critical",
    "high": "error",
    "medium": "warning",
    "low": "info",
    "informational": "info",
}


def event(notification: Notification, story: Story, words: Words, routing_key: str) -> bytes:
    """Return the body of a POST to the Events API, within its limits.

    A title of the operator's stands in place of the summary, a text in place of the rows and the
    runbook.
    """
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "dedup_key": dedup_key(notification.alert),
    }
    if notification.kind == "resolved":
        return msgspec.json.encode({**body, "event_action": "resolve"})
    payload = _payload(notification, story, words.title)
    body |= {"event_action": "trigger", "client": CLIENT, "payload": payload}
    links = [{"href": href, "text": cut(text, 255)} for text, href in safe_links(story.links)]
    if links:
        body |= {"links": links[:MAX_LINKS], "client_url": links[0]["href"]}
    encoded = b""
    for details in _details(notification, story, words):
        payload["custom_details"] = details
        encoded = msgspec.json.encode(body)
        if len(encoded) <= MAX_EVENT_BYTES:
            break
    return encoded


def dedup_key(alert: Alert) -> str:
    """Return what PagerDuty knows an incident by; a key that is too long stands as its digest."""
    key = alert.dedup_key or alert.id
    if len(key) <= MAX_DEDUP_KEY:
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def _payload(notification: Notification, story: Story, title: str | None) -> dict[str, Any]:
    alert = notification.alert
    if title is None:
        title = f"{story.headline}: {story.summary}" if story.summary else story.headline
    payload = {
        "summary": cut(title, MAX_SUMMARY),
        "source": _source(alert),
        "severity": SEVERITIES[alert.level],
        "timestamp": utc(notification.made_at) if notification.made_at else alert.last_event_time,
        "component": _some(_services(alert.evidence)) or "cloudtrail",
        "class": cut(clean(alert.rule_name or alert.title), MAX_SOURCE),
    }
    if group := _some(alert.accounts):
        payload["group"] = group
    return payload


def _source(alert: Alert) -> str:
    """Return where it happened: PagerDuty wants a unique location, and shows it in lists."""
    where = "/".join(filter(None, [_some(alert.accounts), _some(alert.regions)]))
    return where or CLIENT


def _services(evidence: Sequence[Mapping[str, Any]]) -> list[str]:
    sources = {str(record.get("eventSource") or "") for record in evidence}
    return sorted(source.removesuffix(".amazonaws.com") for source in sources if source)


def _some(names: Sequence[str]) -> str:
    """Return the first name that is one, and how many others there are."""
    shown = [name for name in (clean(name).strip() for name in names) if name]
    if not shown:
        return ""
    more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    return cut(shown[0], MAX_SOURCE - len(more)) + more


def _details(notification: Notification, story: Story, words: Words) -> Iterator[dict[str, Any]]:
    """Yield the details whole, then with less and less: evidence is left out first."""
    told = _told(story, words, 1_000)
    facts = _facts(notification)
    evidence = list(notification.alert.evidence)
    sizes = [len(msgspec.json.encode(record)) for record in evidence]
    while evidence:
        # A record that is larger than an event is not tried.
        if sum(sizes) <= MAX_EVENT_BYTES:
            left_out = len(notification.alert.evidence) - len(evidence)
            yield {**told, "alert": _with_count(facts, left_out), "evidence": evidence}
        evidence.pop()
        sizes.pop()
    facts = _with_count(facts, len(notification.alert.evidence))
    yield {**told, "alert": facts}
    yield {**told, "alert": {name: _first(value) for name, value in facts.items()}}
    yield _told(story, words, 100)


def _told(story: Story, words: Words, characters: int) -> dict[str, Any]:
    """Return what a person reads, as PagerDuty shows it: a table of names and values."""
    told: dict[str, Any] = {}
    if words.text is not None:
        told["text"] = cut(words.text, 20 * characters)
    else:
        # The alert's id is among the facts, which have the name of that row.
        rows = [row for row in story.rows if row.value != story.alert_id]
        told |= {cut(label, 100): cut(value, characters) for label, value in rows[:MAX_ROWS]}
        if story.runbook.strip():
            told["runbook"] = cut(story.runbook.strip(), 5 * characters)
    if words.faults:
        told["template"] = [cut(fault, characters) for fault in words.faults]
    return told


def _facts(notification: Notification) -> dict[str, Any]:
    """Return what a machine asks for: the alert but its texts, which are told, and its evidence."""
    facts: dict[str, Any] = msgspec.to_builtins(notification.alert)
    for name in ("evidence", "description", "runbook", "title"):
        del facts[name]
    if notification.alert.digest is None:
        del facts["digest"]
    return {**facts, "kind": notification.kind, "message_id": message_id(notification)}


def _with_count(facts: dict[str, Any], left_out: int) -> dict[str, Any]:
    return {**facts, "evidence_left_out": left_out} if left_out else facts


def _first(value: Any) -> Any:
    """Return the beginning of a list or text that is too long."""
    if isinstance(value, list):
        return [_first(item) for item in value[:5]]
    if isinstance(value, dict):
        return {cut(str(key), 100): _first(item) for key, item in list(value.items())[:20]}
    return cut(value, 200) if isinstance(value, str) else value
