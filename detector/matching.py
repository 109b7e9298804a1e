"""From a payload to its matches: pure, and the whole cost of a record that no rule wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from detector import lenient_json
from detector.accounting import Accounting
from detector.envelopes.log_file import LogFile, Trail, skipped_by_name, trail, trail_of
from detector.envelopes.payload import (
    Content,
    Limits,
    open_payload,
    reopen_log_file,
)
from detector.envelopes.types import ObjectReference, Skipped, Unreadable
from detector.errors import PayloadError
from detector.events.record import Event, decode_event
from detector.rules.engine import BatchMatches
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Payload

INSIGHT_EVENT_TYPE = "AwsCloudTrailInsight"

NOT_A_LOG_FILE = "not_a_log_file"

MAX_REJECTIONS = 20_000
"""What is not understood in one payload before the rest of it is given up. Nothing that AWS sends
comes near it; each takes some microseconds and some hundred bytes, and a row in the quarantine."""

MAX_REJECTED_BYTES = 64 << 20
"""How much of it is kept, for the same reason."""

MAX_PART_BYTES = 1 << 20
"""The largest part of a payload that is kept by itself. One that is larger makes the payload one
that is not understood as a whole: the longest record of CloudTrail's has a quarter of that."""

MAX_TRAILS = 10_000
"""Accounts and regions that a payload may show to be alive: as many as are kept track of at all."""

SLICE_MATCHES = 10_000
"""After so many matches what was found of a payload is counted before more of it is read: a match
takes some kilobytes, and a payload may hold a million."""

SLICE_REJECTIONS = 1_000
"""After so many rejections, each with what was rejected, for the same reason."""

SLICE_BYTES = 32 << 20
"""After so many bytes of what matches and of what is rejected."""


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
    """What one payload held, or a slice of it.

    `accounting` takes every match for matched; which of them are duplicates is known later.
    `places` are the records' numbers in the payload, one for each of `events`; `first` is that of
    the first record of the slice. What was rejected in slices before counts in `rejected_before`.
    """

    first: int = 0
    rejected_before: int = 0
    accounting: Accounting = field(default_factory=Accounting)
    events: list[tuple[Event, Sequence[Rule]]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    trails: set[Trail] = field(default_factory=set)
    """Whose the records are, where the payload's name does not tell."""
    matched_bytes: int = 0
    rejected_bytes: int = 0
    rejected_bytes_before: int = 0

    @property
    def next_place(self) -> int:
        """The number that the next record has in the payload."""
        return self.first + self.accounting.received

    @property
    def is_full(self) -> bool:
        """Whether it is to be counted before more of the payload is read."""
        return is_full(self.size)

    @property
    def size(self) -> tuple[int, int, int]:
        """How many matches and rejections it holds, and how many bytes of both."""
        return len(self.events), len(self.rejections), self.matched_bytes + self.rejected_bytes

    @property
    def has_too_many_rejections(self) -> bool:
        """Whether no more of the payload is worth reading."""
        rejected = self.rejected_before + self.accounting.rejected
        size = self.rejected_bytes_before + self.rejected_bytes
        return rejected > MAX_REJECTIONS or size > MAX_REJECTED_BYTES

    def rest(self) -> PayloadMatches:
        """Return an empty slice for what comes after this one."""
        return PayloadMatches(
            first=self.next_place,
            rejected_before=self.rejected_before + self.accounting.rejected,
            rejected_bytes_before=self.rejected_bytes_before + self.rejected_bytes,
        )


def is_full(size: tuple[int, int, int]) -> bool:
    """Return whether so many matches, rejections and bytes are counted before more is read."""
    matches, rejections, held = size
    return matches >= SLICE_MATCHES or rejections >= SLICE_REJECTIONS or held >= SLICE_BYTES


def match_payload(payload: Payload, rules: RuleSet, limits: Limits) -> Iterator[PayloadMatches]:
    """Yield the matches in a payload, and an account of all of its records, slice by slice."""
    found = PayloadMatches()
    skipped = skipped_by_name(payload.origin)
    if skipped is not None:
        _skip(found, skipped)
    elif isinstance(payload.body, PayloadError):
        _reject(found, payload, None, payload.body)
    else:
        is_understood = False
        for content in open_payload(payload.body, limits):
            if found.is_full:
                yield found
                found = found.rest()
            if isinstance(content, LogFile):
                is_understood |= _match_log_file(content, payload, rules, limits, found)
            else:
                is_understood |= not isinstance(content, Unreadable)
                _take(content, payload, found)
            if found.has_too_many_rejections:
                error = PayloadError("too_many_rejections", "the rest is given up")
                _reject(found, payload, None, error)
                break
        if not is_understood:
            # It is the payload that is not understood, and not some parts of it.
            found.rejections = [replace(item, index=None) for item in found.rejections]
    yield found


def _match_log_file(
    log_file: LogFile, payload: Payload, rules: RuleSet, limits: Limits, result: PayloadMatches
) -> bool:
    """Match a log file, or what there is in it; return whether anything of it was understood."""
    try:
        _match_records(log_file, payload, rules, result)
    except PayloadError as error:
        if error.reason == NOT_A_LOG_FILE:
            _reject(result, payload, result.next_place, error, bytes(log_file.document))
            return False
        is_understood = False
        for content in reopen_log_file(log_file, limits):
            is_understood |= _match_content(content, payload, rules, result)
            if result.has_too_many_rejections:
                break
        return is_understood
    return True


def _match_content(
    content: Content, payload: Payload, rules: RuleSet, result: PayloadMatches
) -> bool:
    if not isinstance(content, LogFile):
        _take(content, payload, result)
        return not isinstance(content, Unreadable)
    try:
        _match_records(content, payload, rules, result)
    except PayloadError as error:
        _reject(result, payload, None, error)
        return False
    return True


def _take(content: Content, payload: Payload, result: PayloadMatches) -> None:
    """Account for what holds no records."""
    if isinstance(content, Skipped):
        _skip(result, content)
    elif isinstance(content, Unreadable):
        is_part = not content.is_rest and len(content.body) <= MAX_PART_BYTES
        index = result.next_place if is_part else None
        _reject(result, payload, index, content.error, content.body)
    elif isinstance(content, ObjectReference):
        # Only a queue is asked what to read: anything else must not make us read a bucket.
        error = PayloadError("unexpected_reference", f"a notification of {content} among records")
        _reject(result, payload, result.next_place, error, str(content).encode())


def trails_heard(payload: Payload, matches: PayloadMatches) -> set[Trail]:
    """Return the trails that a payload shows to be alive.

    Its name tells, or else what its records say of themselves. What could not be read shows
    nothing: a queue may bring it again and again. Digest files are of no trail.
    """
    if matches.skipped["digest"] or any(item.index is None for item in matches.rejections):
        return set()
    named = trail_of(payload.origin)
    return matches.trails if named is None else {named}


def _match_records(
    log_file: LogFile, payload: Payload, rules: RuleSet, result: PayloadMatches
) -> None:
    """Match a log file's records, or some of them.

    Raises:
        PayloadError: it cannot be read as a whole; nothing was taken of it.
    """
    batch = rules.match_batch(log_file)
    account = result.accounting
    begin = result.next_place
    left = batch.count
    matched = batch.matched
    if matched or batch.not_records or batch.nameless or batch.unreadable:
        raw = log_file.raw()
        error = PayloadError("not_an_object", "the record is not a JSON object")
        for index in batch.not_records:
            _reject(result, payload, begin + index, error, bytes(raw[index]))
        for index, error in batch.unreadable.items():
            _reject(result, payload, begin + index, error, bytes(raw[index]))
        left -= len(batch.not_records) + len(batch.unreadable)
        for index in _insights(log_file, batch):
            matched.pop(index, None)
            _skip(result, Skipped("insight"))
            left -= 1
        for index in sorted(matched):
            left -= 1
            try:
                event = decode_event(raw[index], payload.delivered_at)
            except PayloadError as error:
                _reject(result, payload, begin + index, error, bytes(raw[index]))
            else:
                account.received += 1
                account.matched += 1
                result.events.append((event, matched[index]))
                result.places.append(begin + index)
                result.matched_bytes += len(memoryview(raw[index]))
    account.received += left
    account.unmatched += left
    if trail_of(payload.origin) is None and len(result.trails) < MAX_TRAILS:
        result.trails |= _trails_in(log_file)


def _trails_in(log_file: LogFile) -> set[Trail]:
    """Return whose the records are, by what they say themselves."""
    whose = {
        (bytes(record.recipientAccountId), bytes(record.awsRegion))
        for record in log_file.decode(_Whose)
        if isinstance(record, _Whose)
    }
    trails = (trail(_unquoted(account), _unquoted(region)) for account, region in whose)
    return {item for item in trails if item is not None}


def _unquoted(value: bytes) -> str:
    # Neither an account nor a region has anything in it that JSON would escape.
    return value.decode(errors="replace").strip('"')


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


class _Whose(msgspec.Struct):
    recipientAccountId: msgspec.Raw = msgspec.Raw(b"")  # noqa: N815
    awsRegion: msgspec.Raw = msgspec.Raw(b"")  # noqa: N815


class _Typed(msgspec.Struct):
    eventType: Any = None  # noqa: N815


_TYPED = msgspec.json.Decoder(_Typed)


def _skip(result: PayloadMatches, skipped: Skipped) -> None:
    result.accounting.received += 1
    result.accounting.skipped += 1
    result.skipped[skipped.reason] += 1


def _reject(
    result: PayloadMatches,
    payload: Payload,
    index: int | None,
    error: PayloadError,
    body: bytes = b"",
) -> None:
    result.accounting.received += 1
    result.accounting.rejected += 1
    if index is not None and result.has_too_many_rejections:
        return  # the payload is rejected as a whole
    result.rejected_bytes += len(body)
    result.rejections.append(Rejection(payload.origin, index, error.reason, error.message, body))
