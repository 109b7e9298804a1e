"""What a person is told of an alert, before it is written for where it is shown.

A story is plain text: without control characters, cut, and not escaped. Whoever shows it escapes
each value for the destination, as names in it were chosen by whoever called AWS. It is made from
the alert alone: the same one tells the same story, today and in a repetition tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from detector.alerts.alert import Alert, NotificationKind
from detector.alerts.counts import count_rows
from detector.alerts.digests import digest_rows, digest_title
from detector.alerts.fields import text_at
from detector.alerts.links import event_link, siem_link
from detector.alerts.origin import origin_of
from detector.alerts.outcome import result_of
from detector.alerts.plain import counted, cut, listed, plain
from detector.alerts.runbooks import first_steps
from detector.alerts.what import Change, change_of
from detector.alerts.where import account_in_words, accounts_of, where_of
from detector.alerts.who import Person, person_of, person_of_actor
from detector.rules.rule import Level

TEST_MARK = "[TEST]"
"""Begins the headline of what only shows that alerts arrive."""

MAX_VALUE_CHARACTERS = 1_000
"""Of one row's value: a terminal's screen is filled by some more."""

MAX_ROWS = 24
"""With `MAX_VALUE_CHARACTERS`, and the few lines around the rows, a story has at most some 32,000
characters; one of a real alert has about 1,500."""

MAX_TITLE_CHARACTERS = 200
"""Of a title. Those of rules have some 50; a digest's names three rules."""

MAX_SUMMARY_CHARACTERS = 200
"""What a pager shows on a locked screen, and a chat on one line."""

_MAX_PEOPLE = 5
_MAX_CHANGES = 5
_MAX_NAME = 64
_MAX_SHORT = 300

_NEWS: Mapping[NotificationKind, str] = {
    "raised": "",
    "updated": " (update)",
    "resolved": " (resolved)",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How alerts are told: what people call accounts, and the link to their own SIEM.

    `siem_link` holds names in braces, of those in `detector.config.LINK_FIELDS`.
    """

    account_names: Mapping[str, str] = field(default_factory=dict)
    siem_link: str | None = None


class Row(NamedTuple):
    """A line of a story: `who`, and who it was."""

    label: str
    value: str


class Link(NamedTuple):
    """Somewhere to go from a story."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Story:
    """An alert as a person reads it.

    `headline` is its title with its level and with what is new of it; `summary` says in one line
    what happened. `rows` are all that is to be known, the most telling ones first; no two have the
    same label. `runbook` has the first steps, each on a line of its own: it alone has line breaks.
    """

    level: Level
    kind: NotificationKind
    title: str
    headline: str
    summary: str
    rows: tuple[Row, ...]
    runbook: str
    links: tuple[Link, ...]
    alert_id: str


def tell(alert: Alert, kind: NotificationKind, reading: Reading) -> Story:
    """Return the story of an alert."""
    facts = _facts(alert)
    title = plain(digest_title(alert.digest) if alert.digest else alert.title, MAX_TITLE_CHARACTERS)
    test = f"{TEST_MARK} " if alert.test else ""
    rows = [Row(label, cut(value, MAX_VALUE_CHARACTERS)) for label, value in _rows(facts, reading)]
    return Story(
        level=alert.level,
        kind=kind,
        title=title,
        headline=f"{test}[{alert.level.upper()}] {title}{_news_of(alert, kind)}",
        summary=_summary(facts, reading, title),
        rows=tuple(row for row in rows if row.value)[:MAX_ROWS],
        runbook=first_steps(alert.runbook),
        links=tuple(_links(facts, reading)),
        alert_id=alert.id,
    )


def silence_of(alert: Alert) -> str:
    """Return by whose silence an alert is not sent."""
    silence = alert.suppressed
    if silence is None:
        return ""
    return plain(f"not sent, by {silence.author} until {silence.end}: {silence.reason}", _MAX_SHORT)


class _Facts(NamedTuple):
    """An alert with what its evidence tells.

    `main` is the record to be shown first: of those that succeeded, as they did something, the
    first that gives wide rights, or else the first.
    """

    alert: Alert
    records: list[Mapping[str, Any]]
    changes: list[Change]
    people: list[Person]
    main: int


def _facts(alert: Alert) -> _Facts:
    records = list(alert.evidence)[:10]
    changes = [change_of(record) for record in records]
    people = [person_of(record) for record in records]
    order = sorted(
        range(len(changes)),
        key=lambda index: (changes[index].outcome.failed, not changes[index].is_wide),
    )
    return _Facts(alert, records, changes, people, order[0] if order else 0)


def _rows(facts: _Facts, reading: Reading) -> Iterator[tuple[str, str]]:
    alert = facts.alert
    if alert.digest is not None:
        yield from digest_rows(alert.digest, reading.account_names)
        yield "where", where_of(alert, reading.account_names)
    else:
        yield "what", _what(facts)
        yield "who", _who(facts)
        yield "result", result_of([change.outcome for change in facts.changes])
        yield "where", where_of(alert, reading.account_names)
        yield "from", origin_of(alert)
    yield "group", _group(alert)
    yield from count_rows(alert)
    yield "why", plain(alert.reason, _MAX_SHORT)
    yield "silence", silence_of(alert)
    yield "seen", _seen(facts)
    yield "rule", _rule(alert) if alert.digest is None else ""
    yield "alert", plain(alert.id, _MAX_NAME)


def _what(facts: _Facts) -> str:
    """Return what was done: each kind of change once, with how often it is in the evidence."""
    alert = facts.alert
    if not facts.changes:
        names = listed([plain(name, _MAX_NAME) for name in alert.event_names], _MAX_CHANGES)
        return names or plain(alert.description, MAX_VALUE_CHARACTERS)
    counts: dict[str, int] = {}
    for change in (facts.changes[facts.main], *facts.changes):
        word = change.outcome.word
        text = f"{change.text}, {word}" if word else change.text
        counts[text] = counts.get(text, -1 if not counts else 0) + 1
    told = [f"{text} ({number} times)" if number > 1 else text for text, number in counts.items()]
    others = set(alert.event_names) - {change.event for change in facts.changes}
    if others:
        further = sorted(plain(name, _MAX_NAME) for name in others)
        told.append(f"and {listed(further, _MAX_CHANGES)}")
    return "; ".join(told)


def _who(facts: _Facts) -> str:
    """Return who is behind it: those of the evidence, then the others by their names alone."""
    alert = facts.alert
    home = _home(facts)
    told: dict[str, None] = {}
    for person in facts.people:
        credentials = person.credentials()
        told[person.told(home) + (f" ({credentials})" if credentials else "")] = None
    seen = {person.arn or person.name for person in facts.people}
    known = {person.name for person in facts.people}
    for actor in alert.actors:
        person = person_of_actor(actor)
        if actor not in seen and plain(actor, 256) not in seen | known:
            told[person.told(home)] = None
    return listed(list(told), _MAX_PEOPLE, are_all="actors" not in alert.truncated)


def _summary(facts: _Facts, reading: Reading, title: str) -> str:
    """Return one line that lets somebody decide: what, by whom, where, and whether it was done."""
    alert = facts.alert
    if alert.digest is not None or not facts.changes:
        said = plain(alert.description or title, MAX_SUMMARY_CHARACTERS)
        if alert.digest is not None:
            return cut(title, MAX_SUMMARY_CHARACTERS)
        names = listed([plain(name, _MAX_NAME) for name in alert.event_names], 3)
        if not names:
            return said
        what, who = f"{counted(alert.count, 'event')}: {names}", _first_of(alert.actors)
        by = person_of_actor(who).told(_home(facts)) if who else ""
    else:
        change = facts.changes[facts.main]
        what = change.text
        by = "" if change.event == "ConsoleLogin" else facts.people[facts.main].told(_home(facts))
    tail = _tail(facts, reading)
    by = f" by {cut(by, 70)}" if by else ""
    room = MAX_SUMMARY_CHARACTERS - len(by) - len(tail)
    return cut(cut(what, max(room, 60)) + by + tail, MAX_SUMMARY_CHARACTERS)


def _tail(facts: _Facts, reading: Reading) -> str:
    """Return what ends a summary: how many more, where, and how it ended."""
    alert = facts.alert
    words = []
    if facts.changes and alert.count > 1:
        words.append(f"and {counted(alert.count - 1, 'more event')}")
    accounts = [account_in_words(name, reading.account_names) for name in accounts_of(alert)]
    if accounts:
        words.append(f"in {listed(accounts, 1)}")
    if alert.regions:
        words.append(listed([plain(region, 32) for region in alert.regions], 1))
    failed = [change.outcome for change in facts.changes if change.outcome.failed]
    if failed:
        is_all = len(failed) == len(facts.changes)
        words.append(failed[0].word if is_all else f"{len(failed)} of them failed")
    return ", " + cut(", ".join(words), 110) if words else ""


def _home(facts: _Facts) -> str:
    """Return the account that need not be named beside a person: the only one of the alert."""
    accounts = accounts_of(facts.alert)
    return accounts[0] if len(accounts) == 1 else ""


def _first_of(names: list[str]) -> str:
    return names[0] if names else ""


def _group(alert: Alert) -> str:
    """Return by what the rule groups, but for what `where` and `who` tell."""
    if alert.overflow:
        return "all groups beyond limits.max_groups_per_rule, counted together"
    words = [
        plain(f"{key} {value}", 2 * _MAX_NAME)
        for key, value in alert.group.items()
        if key not in {"recipientAccountId", "awsRegion"} and value not in alert.actors
    ]
    return listed(words, _MAX_PEOPLE)


def _seen(facts: _Facts) -> str:
    """Return of how many events the rows tell, where these are not all."""
    shown = len(facts.records)
    if not shown or facts.alert.count <= shown:
        return ""
    return (
        f"what, result and client are of {shown} of the {facts.alert.count} events, "
        "the earliest and the latest"
    )


def _rule(alert: Alert) -> str:
    name = plain(alert.rule_name, _MAX_NAME)
    id_ = plain(alert.rule_id, _MAX_NAME)
    cis = alert.controls.get("cis-aws-foundations")
    words = [f"{name} ({id_})" if name and name != id_ else id_]
    if isinstance(cis, dict) and cis:
        version = list(cis)[-1]
        words.append(plain(f"CIS AWS Foundations {version} {cis[version]}", _MAX_NAME))
    return ", ".join(words)


def _links(facts: _Facts, reading: Reading) -> Iterator[Link]:
    alert = facts.alert
    if alert.digest is not None:
        return  # of many alerts, no event and no alert of its own to look up
    record = facts.records[facts.main] if facts.records else {}
    event_id = text_at(record, "eventID") or _first_of(alert.event_ids)
    region = text_at(record, "awsRegion") or _first_of(alert.regions)
    account = text_at(record, "recipientAccountId") or _first_of(accounts_of(alert))
    href = event_link(region, event_id)
    if href:
        yield Link("CloudTrail event", href)
    href = siem_link(reading.siem_link, alert, event_id, account, region)
    if href:
        yield Link("SIEM", href)


def _news_of(alert: Alert, kind: NotificationKind) -> str:
    """Return what is to be said of an alert behind its title."""
    news = _NEWS[kind]
    if alert.state == "withdrawn":
        news = " (withdrawn: later events have undone it)"
    if alert.status != "stable":
        news += f" (staged: {alert.status})"
    if alert.overflow:
        news += " (all groups beyond the limit)"
    if alert.late:
        news += " (late)"
    return news
