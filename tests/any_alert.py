"""Any alert at all, for property tests: hostile texts, huge lists, records of any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from detector.alerts.alert import (
    Alert,
    AlertEpisode,
    AlertState,
    AlertWindow,
    Counting,
    Digest,
    DigestEntry,
    Suppressed,
    utc,
)
from detector.alerts.text import NotificationKind
from detector.rules.rule import Level, Notify, Status
from detector.state.store import Notification
from tests.records import record

_SHORT = (
    "<!channel> <https://evil.example|click> [x](https://evil.example) <b>&amp;</b>",
    "\"quoted\" 'and' `code` \\ \r\n\t\x00\x1b[31m\u202e\u2028\ufffd",
)
_LONG = ("😀" * 3_000, "\x01" * 10_000, "é" * 5_000)
HOSTILE = (*_SHORT, *_LONG)
"""What somebody may call a session, a bucket or a user agent; some of it JSON triples or worse."""


def texts(max_size: int = 40) -> st.SearchStrategy[str]:
    """Texts that JSON can carry: no lone surrogates, which no record has once it is read."""
    return st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size),
        st.sampled_from(_SHORT),
    )


def _lists(most: int = 4) -> st.SearchStrategy[list[str]]:
    return st.lists(texts(), max_size=most)


def _times() -> st.SearchStrategy[str]:
    return st.floats(0, 4e9).map(utc)


_WORDS = st.sampled_from(
    ["IAMUser", "AssumedRole", "Root", "AWSService", "arn:aws:iam::111122223333:user/a", "::1", ""]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(10), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(sorted(record()))
_PARTS = st.sampled_from(
    ["type", "arn", "accountId", "userName", "sessionContext", "ARN", "policyArn", "invokedBy"]
)


def records() -> st.SearchStrategy[dict[str, Any]]:
    """Records of which some fields have a value of any type."""
    odd = st.dictionaries(_FIELDS, _VALUES | st.dictionaries(_PARTS, _VALUES), max_size=4)
    return st.one_of(odd, odd.map(lambda fields: {**record(), **fields}))


def digests() -> st.SearchStrategy[Digest]:
    """Digests of some rules."""
    count = st.integers(0, 2**40)
    entry = st.builds(
        DigestEntry,
        rule_id=texts(),
        title=texts(),
        level=st.sampled_from(get_args(Level)),
        raised=count,
        updated=count,
        resolved=count,
        events=count,
        accounts=_lists(),
        actors=_lists(),
    )
    return st.builds(
        Digest,
        notifications=count,
        raised=count,
        updated=count,
        resolved=count,
        events=count,
        entries=st.lists(entry, max_size=4),
        more_rules=count,
        alert_ids=_lists(),
    )


def lengthenings() -> st.SearchStrategy[dict[str, int]]:
    """What to make of an alert so that it is much too long; see `lengthened`."""
    fields = ["title", "runbook", "rule_id", "actors", "event_ids", "accounts", "group", "evidence"]
    return st.dictionaries(st.sampled_from(fields), st.integers(0, len(_LONG) - 1), max_size=3)


def lengthened(alert: Alert, long: Mapping[str, int]) -> Alert:
    """Return an alert with some fields made of long texts, by their numbers.

    It is done here and not by a strategy, so that a counterexample can be printed.
    """
    changes: dict[str, Any] = {}
    for name, which in long.items():
        value, text = getattr(alert, name), _LONG[which]
        if isinstance(value, str):
            changes[name] = text
        elif name == "evidence":
            changes[name] = [{**record(), "userAgent": text}] * 5
        elif name == "group":
            changes[name] = {text: text}
        else:
            changes[name] = [f"{number}{text}" for number in range(50)]
    return msgspec.structs.replace(alert, **changes)


def alerts() -> st.SearchStrategy[Alert]:
    """Alerts, of which an ordinary one is the rarest."""
    ids = st.text("0123456789abcdef", min_size=32, max_size=32)
    count = st.integers(0, 2**53)
    controls = st.dictionaries(texts(), texts() | st.dictionaries(texts(), texts(), max_size=3))
    tags = ["attack.t1098.003", "attack.t1", "attack.persistence", "attack.command-and-control"]
    return st.builds(
        Alert,
        id=ids,
        revision=count,
        state=st.sampled_from(get_args(AlertState)),
        rule_id=texts(),
        rule_name=texts(),
        title=texts(),
        status=st.sampled_from(get_args(Status)),
        level=st.sampled_from(get_args(Level)),
        group=st.dictionaries(texts(), texts() | st.integers(0, 9) | st.booleans(), max_size=4),
        counting=st.sampled_from(get_args(Counting)),
        notify=st.sampled_from(get_args(Notify)),
        dedup_key=st.just("") | ids,
        episode=st.none()
        | st.builds(AlertEpisode, id=ids, start=_times(), end=_times(), windows=count, count=count),
        window=st.builds(AlertWindow, _times(), _times()),
        count=count,
        value=st.floats(),
        threshold=st.floats(),
        comparison_operator=st.just("GreaterThanThreshold"),
        late=st.booleans(),
        suppressed=st.none() | st.builds(Suppressed, reason=texts(), author=texts(), end=_times()),
        reason=texts(),
        first_event_time=_times(),
        last_event_time=_times(),
        event_names=_lists(),
        actors=_lists(),
        source_ips=st.lists(texts() | st.ip_addresses().map(str), max_size=4),
        regions=_lists(),
        accounts=_lists(),
        event_ids=_lists(),
        truncated=st.lists(st.sampled_from(["actors", "event_ids"]), unique=True),
        controls=controls,
        tags=st.lists(st.sampled_from(tags) | texts(), max_size=6),
        description=texts(),
        runbook=texts(),
        evidence=st.lists(records(), max_size=5),
        digest=st.none() | digests(),
        test=st.booleans(),
    )


def notifications() -> st.SearchStrategy[Notification]:
    """Notifications of any alert."""
    return st.builds(
        Notification,
        alerts(),
        st.sampled_from(get_args(NotificationKind)),
        made_at=st.just(0.0) | st.floats(1, 4e9),
    )
