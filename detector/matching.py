"""From a payload to its matches: pure, and the whole cost of a record that no rule wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from detector import lenient_json
from detector.accounting import Accounting
from detector.envelopes.log_file import (
    MAX_INFLATED_BYTES,
    MAX_VALUES,
    LogFile,
    Trail,
    open_log_file,
    skipped_by_name,
    trail,
    trail_of,
)
from detector.errors import PayloadError
from detector.events.record import Event, decode_event
from detector.rules.engine import BatchMatches
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Payload

INSIGHT_EVENT_TYPE = "AwsCloudTrailInsight"


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on what one payload may hold; see `detector.envelopes.log_file` for their reasons."""

    max_inflated_bytes: int = MAX_INFLATED_BYTES
    max_values: int = MAX_VALUES


@dataclass(frozen=True, slots=True)
class Rejection:
    """What could not be understood. `index` is the record's, None for a payload as a whole."""

    origin: str
    index: int | None
    reason: str
    message: str
    body: bytes = b""


@dataclass(slots=True)
class PayloadMatches:
    """What one payload held.

    `accounting` takes every match for matched; which of them are duplicates is known later.
    """

    accounting: Accounting = field(default_factory=Accounting)
    events: list[tuple[Event, Sequence[Rule]]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)


def match_payload(payload: Payload, rules: RuleSet, limits: Limits) -> PayloadMatches:
    """Return the matches in a payload, and an account of all of its records."""
    result = PayloadMatches()
    skipped = skipped_by_name(payload.origin)
    if skipped is not None:
        _skip_whole(result, skipped.reason)
        return result
    try:
        if isinstance(payload.body, PayloadError):
            raise payload.body
        log_file = open_log_file(
            payload.body, max_bytes=limits.max_inflated_bytes, max_values=limits.max_values
        )
        _match_records(log_file, payload, rules, result)
    except PayloadError as error:
        if error.reason == "not_a_log_file" and log_file.is_digest():
            _skip_whole(result, "digest")
        else:
            rejection = Rejection(payload.origin, None, error.reason, error.message)
            result = PayloadMatches(Accounting(received=1, rejected=1), rejections=[rejection])
    return result


def trails_heard(payload: Payload, matches: PayloadMatches) -> set[Trail]:
    """Return the trails that a payload shows to be alive.

    Its name tells, or else what its matched events say of themselves. What could not be read
    shows nothing: a queue may bring it again and again. Digest files are of no trail.
    """
    if matches.skipped["digest"] or any(item.index is None for item in matches.rejections):
        return set()
    named = trail_of(payload.origin)
    if named is not None:
        return {named}
    told = {trail(event.identity.account, event.text("awsRegion")) for event, _ in matches.events}
    return {item for item in told if item is not None}


def _match_records(
    log_file: LogFile, payload: Payload, rules: RuleSet, result: PayloadMatches
) -> None:
    batch = rules.match_batch(log_file)
    account = result.accounting
    account.received = batch.count
    matched = batch.matched
    if matched or batch.not_records or batch.nameless or batch.unreadable:
        raw = log_file.raw()
        for index in batch.not_records:
            error = PayloadError("not_an_object", "the record is not a JSON object")
            _reject(result, payload, index, error, bytes(raw[index]))
        for index, error in batch.unreadable.items():
            _reject(result, payload, index, error, bytes(raw[index]))
        for index in _insights(log_file, batch):
            matched.pop(index, None)
            account.skipped += 1
            result.skipped["insight"] += 1
        for index in sorted(matched):
            try:
                event = decode_event(raw[index], payload.delivered_at)
            except PayloadError as error:
                _reject(result, payload, index, error, bytes(raw[index]))
            else:
                account.matched += 1
                result.events.append((event, matched[index]))
    account.unmatched = account.received - account.matched - account.skipped - account.rejected


def _insights(log_file: LogFile, batch: BatchMatches[Rule]) -> list[int]:
    """Return which of the records without an eventName are Insights events."""
    if not batch.nameless:
        return []
    raw = log_file.raw()
    return [index for index in batch.nameless if _event_type(raw[index]) == INSIGHT_EVENT_TYPE]


def _event_type(record: msgspec.Raw) -> object:
    try:
        return lenient_json.decode(_TYPED, record).eventType
    except (msgspec.DecodeError, RecursionError):
        return None


class _Typed(msgspec.Struct):
    eventType: Any = None  # noqa: N815


_TYPED = msgspec.json.Decoder(_Typed)


def _skip_whole(result: PayloadMatches, reason: str) -> None:
    result.accounting.received += 1
    result.accounting.skipped += 1
    result.skipped[reason] += 1


def _reject(
    result: PayloadMatches, payload: Payload, index: int, error: PayloadError, body: bytes
) -> None:
    result.accounting.rejected += 1
    result.rejections.append(Rejection(payload.origin, index, error.reason, error.message, body))
