"""How a message reads that stands for many alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from detector.alerts.alert import Digest, DigestEntry
from detector.alerts.plain import counted, listed, plain
from detector.alerts.where import account_in_words
from detector.alerts.who import person_of_actor

MAX_RULES = 15
"""Rules told of one digest, a row each; of the others there are only numbers."""

_IN_HEADLINE = 3
_MAX_TITLE = 80
_MAX_ACCOUNTS = 3
_MAX_ACTORS = 5


def digest_title(digest: Digest) -> str:
    """Return how many more alerts there are, and of what."""
    rules = [f"{plain(entry.title, _MAX_TITLE)} ({_total(entry)})" for entry in digest.entries]
    more = max(len(rules) - _IN_HEADLINE, 0) + digest.more_rules
    told = ", ".join(rules[:_IN_HEADLINE])
    if more:
        told += f" and {counted(more, 'more rule')}" if told else f"of {counted(more, 'rule')}"
    return f"{_number(digest)}: {told}" if told else _number(digest)


def digest_rows(digest: Digest, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Return what a digest tells, line by line."""
    kinds = [
        (digest.raised, "raised"),
        (digest.updated, "updated"),
        (digest.resolved, "resolved"),
    ]
    said = ", ".join(f"{number} {kind}" for number, kind in kinds if number)
    yield "what", f"{said}; {counted(digest.events, 'event')} in all".removeprefix("; ")
    for number, entry in enumerate(digest.entries[:MAX_RULES], 1):
        yield f"rule {number}", _entry(entry, names)
    more = max(len(digest.entries) - MAX_RULES, 0) + digest.more_rules
    if more:
        yield "rules", f"{counted(more, 'more rule')}, in the numbers above"
    if digest.alert_ids:
        rest = digest.notifications - len(digest.alert_ids)
        ids = listed(tuple(plain(id_, 64) for id_ in digest.alert_ids), 5)
        yield "alerts", ids if rest <= 0 else f"{ids}, of {digest.notifications}"


def _number(digest: Digest) -> str:
    if digest.notifications == digest.raised:
        return counted(digest.raised, "more alert")
    return counted(digest.notifications, "more notification")


def _total(entry: DigestEntry) -> int:
    return entry.raised + entry.updated + entry.resolved


def _entry(entry: DigestEntry, names: Mapping[str, str]) -> str:
    kinds = [
        (entry.raised, "raised"),
        (entry.updated, "updated"),
        (entry.resolved, "resolved"),
    ]
    numbers = ", ".join(f"{number} {kind}" for number, kind in kinds if number)
    words = [
        f"[{entry.level.upper()}] {plain(entry.title, _MAX_TITLE)}: {numbers}",
        counted(entry.events, "event"),
    ]
    if entry.accounts:
        accounts = [account_in_words(account, names) for account in entry.accounts]
        words.append(f"in {listed(accounts, _MAX_ACCOUNTS)}")
    if entry.actors:
        people = [plain(person_of_actor(name).told(), 80) for name in entry.actors]
        words.append(f"by {listed(list(dict.fromkeys(people)), _MAX_ACTORS)}")
    return ", ".join(words)
