"""Who gets which alerts: by level, rule, tag and account, and by what each sink asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from detector.alerts.alert import Alert
from detector.rules.correlation import Correlation
from detector.rules.globs import compile_glob
from detector.rules.rule import Level, Rule
from detector.rules.syntax import star_glob

LEVELS: Sequence[Level] = get_args(Level)
"""From the lowest to the highest."""

MAX_KNOWN = 4_096
"""Decisions kept: the rules there are, times the sets of accounts that their windows have."""


class Routed(NamedTuple):
    """What an alert is about, as far as routes ask.

    A rule that is staged notifies only those who ask for such. `accounts` are those of all events.
    """

    rule_id: str
    rule_name: str
    title: str
    level: Level
    tags: tuple[str, ...]
    is_staged: bool
    accounts: frozenset[str] = frozenset()

    @classmethod
    def of_rule(cls, rule: Rule | Correlation, accounts: Iterable[str]) -> Routed:
        """Return what an alert of a rule is about."""
        file = rule.file
        return cls(
            rule.id,
            file.name,
            file.title,
            file.level,
            file.tags,
            not rule.notifies,
            frozenset(accounts),
        )

    @classmethod
    def of_own(cls, alert: Alert) -> Routed:
        """Return what an alert of the detector's own is about."""
        return cls(
            alert.rule_id,
            alert.rule_name,
            alert.title,
            alert.level,
            tuple(alert.tags),
            False,
            frozenset(alert.accounts),
        )


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink, and what it asks for whatever the routes say."""

    name: str
    min_level: Level = "informational"
    staged: Literal["never", "also", "only"] = "never"

    def takes(self, routed: Routed) -> bool:
        """Return whether an alert is for it."""
        if (self.staged == "never" and routed.is_staged) or (
            self.staged == "only" and not routed.is_staged
        ):
            return False
        return LEVELS.index(routed.level) >= LEVELS.index(self.min_level)


@dataclass(frozen=True, slots=True)
class Route:
    """Sinks, and what an alert must be to get there; what is None is not asked for.

    `rules` are ids, names or titles, `tags` those of a rule, both with `*` for any run of
    characters. Of `accounts` an alert must have one.
    """

    sinks: Collection[str]
    levels: Collection[str] | None = None
    rules: Collection[str] | None = None
    tags: Collection[str] | None = None
    accounts: Collection[str] | None = None

    def matches(self, routed: Routed) -> bool:
        """Return whether an alert goes this way."""
        called = [routed.rule_id, routed.title, *filter(None, [routed.rule_name])]
        return (
            (self.levels is None or routed.level in self.levels)
            and (self.rules is None or _any(self.rules, called))
            and (self.tags is None or _any(self.tags, routed.tags))
            and (self.accounts is None or not routed.accounts.isdisjoint(self.accounts))
        )


class Router:
    """Decides who gets an alert: those of the `first` route that it matches, or of `all` such.

    `default` are those for what no route matches: all, where it is None.
    """

    def __init__(
        self,
        receivers: Iterable[Receiver] = (),
        routes: Iterable[Route] = (),
        *,
        match: Literal["first", "all"] = "first",
        default: Collection[str] | None = None,
    ) -> None:
        self._receivers = tuple(receivers)
        self._routes = tuple(routes)
        self._match = match
        self.names = tuple(receiver.name for receiver in self._receivers)
        self._default = self.names if default is None else default
        self.asks_accounts = any(route.accounts is not None for route in self._routes)
        self._known = lru_cache(MAX_KNOWN)(self._decide)

    @classmethod
    def to(cls, *names: str) -> Router:
        """Return one that sends all to all."""
        return cls(map(Receiver, names))

    def sinks(self, routed: Routed) -> tuple[str, ...]:
        """Return the names of the sinks that get an alert, in their order."""
        return self._known(routed)

    def _decide(self, routed: Routed) -> tuple[str, ...]:
        matching = [route for route in self._routes if route.matches(routed)]
        if self._match == "first":
            matching = matching[:1]
        chosen = {name for route in matching for name in route.sinks}
        if not matching:
            chosen = {*self._default}
        return tuple(
            receiver.name
            for receiver in self._receivers
            if receiver.name in chosen and receiver.takes(routed)
        )


def _any(globs: Iterable[str], texts: Iterable[str]) -> bool:
    listed = list(texts)
    return any(_matcher(glob)(text) for glob in globs for text in listed)


@lru_cache(MAX_KNOWN)
def _matcher(text: str) -> Callable[[str], bool]:
    return compile_glob(star_glob(text))
