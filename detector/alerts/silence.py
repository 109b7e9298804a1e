"""Silences: which alerts are expected, and by whom. Maintenance windows are silences that repeat.

A silence goes by the time of events, never by the clock: what happened in a maintenance is
suppressed however late it comes in, and what happened outside it never is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal, get_args

import msgspec

from detector.rules.globs import compile_glob
from detector.rules.rule import Level
from detector.rules.syntax import star_glob
from detector.rules.values import number_text
from detector.windows.aligned import GroupValue

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time as RFC 3339 writes it, with its offset: one without would mean another time elsewhere."""

SilenceState = Literal["pending", "active", "expired"]

_STATES: tuple[SilenceState, ...] = get_args(SilenceState)

ANY = "any"
"""Stands in place of a list of rules for all of them."""

MAX_MATCHERS = 1024
"""Globs kept compiled: more than a configuration names; what is pushed out is compiled again."""

_MATCHERS = ("rules", "levels", "accounts", "group")
_ACCOUNT = re.compile(r"[0-9]{12}")
_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert is about, as far as silences ask. Times are in seconds since the epoch.

    `group` has the names that the rule's author wrote. `accounts` are those of all events, with an
    empty text among them where one is not known: no list of accounts suppresses that.
    """

    rule_id: str
    title: str
    level: Level
    group: Mapping[str, GroupValue]
    accounts: Collection[str]
    first_event_time: float
    last_event_time: float
    rule_name: str = ""


class Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Suppresses alerts of which every event lies from `start` up to, not including, `end`.

    What is left out of `rules`, `levels`, `accounts` and `group` is not asked for. `rules` names
    ids, names or titles, with `*` for any run of characters, or is the word `any`. `group` names
    fields that the rule groups by, each with the values of which it must have one: texts with
    `*`, numbers and booleans by their JSON text, `null` for a missing one. Case matters.

    With `every_days` the silence comes again after each so many days of 86,400 seconds, so at the
    same time of day in UTC whatever clocks are changed elsewhere, and without an end. An alert is
    suppressed if one and the same turn holds all its events.
    """

    start: Moment
    end: Moment
    author: str
    reason: str
    rules: tuple[str, ...] | str | None = None
    levels: tuple[Level, ...] | None = None
    accounts: tuple[str | int, ...] | None = None
    group: dict[str, tuple[GroupValue, ...]] | None = None
    every_days: int | None = None

    def __post_init__(self) -> None:
        self._check_matchers()
        for name in ("author", "reason"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty")
        if self.end <= self.start:
            raise ValueError("end must be later than start")
        if self.every_days is not None and self._period <= self._length:
            raise ValueError("every_days must be longer than from start to end")

    def _check_matchers(self) -> None:
        if all(getattr(self, name) is None for name in _MATCHERS):
            raise ValueError(
                f"the silence is for every alert: say so with rules: {ANY}, or give at least one"
                f" of {', '.join(_MATCHERS)}"
            )
        if isinstance(self.rules, str) and self.rules != ANY:
            raise ValueError(f"rules is a list of ids, names or titles, or the word {ANY}")
        for name in _MATCHERS:
            asked = getattr(self, name)
            if asked is not None and not asked:
                raise ValueError(f"{name} is empty, and nothing could match it")
        for name, values in (self.group or {}).items():
            if not values:
                raise ValueError(f"group.{name} is empty, and nothing could match it")
        for account in self.accounts or ():
            if not _ACCOUNT.fullmatch(str(account)):
                raise ValueError(f"accounts holds {account}, and an account id has 12 digits")

    def suppresses(self, subject: Subject) -> bool:
        """Return whether a subject's events, rule, level, accounts and group all match."""
        return (
            self._holds(subject)
            and self._is_about(subject)
            and (self.levels is None or subject.level in self.levels)
            and (self.accounts is None or _are_among(subject.accounts, self.accounts))
            and all(
                name in subject.group and _is_one_of(subject.group[name], values)
                for name, values in (self.group or {}).items()
            )
        )

    def state(self, now: float) -> SilenceState:
        """Return how a silence stands at a time: one that repeats never expires."""
        if self._begin(_micros(now)) is not None:
            return "active"
        is_over = self.every_days is None and _micros(now) >= self._start
        return "expired" if is_over else "pending"

    def _holds(self, subject: Subject) -> bool:
        first, last = _micros(subject.first_event_time), _micros(subject.last_event_time)
        begin = self._begin(first)
        return begin is not None and first <= last < begin + self._length

    def _begin(self, time: int) -> int | None:
        """Return when the turn began in which a time lies, or None where it lies in none."""
        since = time - self._start
        within = since if self.every_days is None else since % self._period
        return time - within if since >= 0 and within < self._length else None

    def _is_about(self, subject: Subject) -> bool:
        if self.rules is None or isinstance(self.rules, str):
            return True
        called = [subject.rule_id, subject.title]
        if subject.rule_name:
            called.append(subject.rule_name)
        return any(_matcher(rule)(text) for rule in self.rules for text in called)

    # Whole microseconds: the borders are exact, as sums of fractional seconds are not.

    @property
    def _start(self) -> int:
        return (self.start - _EPOCH) // _MICROSECOND

    @property
    def _length(self) -> int:
        return (self.end - self.start) // _MICROSECOND

    @property
    def _period(self) -> int:
        return (self.every_days or 0) * (timedelta(days=1) // _MICROSECOND)


def suppressed_by(subject: Subject, silences: Iterable[Silence]) -> Silence | None:
    """Return the first silence that suppresses a subject by itself, or None."""
    return next((silence for silence in silences if silence.suppresses(subject)), None)


def silences_by_state(silences: Iterable[Silence], now: float) -> Mapping[SilenceState, int]:
    """Return how many silences stand how at a time, in seconds since the epoch."""
    states = [silence.state(now) for silence in silences]
    return {state: states.count(state) for state in _STATES}


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _are_among(accounts: Collection[str], named: Iterable[str | int]) -> bool:
    return bool(accounts) and {str(account) for account in named}.issuperset(accounts)


def _is_one_of(value: GroupValue, wanted: Iterable[GroupValue]) -> bool:
    text = _text(value)
    for item in wanted:
        sought = _text(item)
        if text is None or sought is None:
            if text is sought:
                return True
        elif _matcher(sought)(text):
            return True
    return False


def _text(value: GroupValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value)


@lru_cache(MAX_MATCHERS)
def _matcher(text: str) -> Callable[[str], bool]:
    return compile_glob(star_glob(text))
