"""Correlations: rules about the matches of other rules, in Sigma's words.

Source: Sigma Correlation Rules Specification 2.1.0. `value_median` is pySigma's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from detector.document import Document
from detector.rules.rule import Described
from detector.rules.syntax import Selector

CorrelationType = Literal[
    "event_count",
    "value_count",
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
]

MAX_MATCHES = 5_000
"""Matches kept of one group in one timespan, the earliest ones; what exceeds them is counted, and
the alert says so. A condition that needs more can never be fulfilled: it is a data warehouse's."""

MAX_TIMESPAN_SECONDS = 30 * 86_400
"""What a timespan covers is kept, match by match: longer ones are a SIEM's work."""

_TIMESPAN = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_VALUES = frozenset({"value_count", "value_sum", "value_avg", "value_percentile", "value_median"})


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the counted number must be: all of what is given."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None
    eq: float | None = None
    neq: float | None = None
    field: str | tuple[str, ...] = ()
    percentile: float | None = None

    def __post_init__(self) -> None:
        if all(limit is None for limit in self.limits):
            raise ValueError("condition needs one of gt, gte, lt, lte, eq and neq")
        if self.percentile is not None and not 0 <= self.percentile <= 100:  # noqa: PLR2004
            raise ValueError("percentile is a number from 0 to 100")

    @property
    def limits(self) -> tuple[float | None, ...]:
        """The limits, in the order of their fields."""
        return self.gt, self.gte, self.lt, self.lte, self.eq, self.neq

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields whose values are counted."""
        return (self.field,) if isinstance(self.field, str) else self.field

    @property
    def only_grows(self) -> bool:
        """Whether a number that is enough stays so when it grows."""
        return all(limit is None for limit in (self.lt, self.lte, self.eq, self.neq))

    def holds(self, number: float) -> bool:
        """Return whether a number is what the condition asks for."""
        return (
            (self.gt is None or number > self.gt)
            and (self.gte is None or number >= self.gte)
            and (self.lt is None or number < self.lt)
            and (self.lte is None or number <= self.lte)
            and (self.eq is None or number == self.eq)
            and (self.neq is None or number != self.neq)
        )


class CorrelationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The correlation section of a file."""

    type: CorrelationType
    rules: tuple[str, ...]
    group_by: tuple[str, ...] = msgspec.field(default=(), name="group-by")
    timespan: str
    condition: Threshold | None = None
    aliases: dict[str, dict[str, str]] = {}
    generate: bool = False

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("rules is empty: name at least one")
        if len(set(self.rules)) != len(self.rules):
            raise ValueError("rules names a rule twice")
        if len(set(self.group_by)) != len(self.group_by):
            raise ValueError("group-by names a field twice")
        if self.seconds is None:
            raise ValueError(
                "timespan is a number and s, m, h or d, as 90m, of at most"
                f" {MAX_TIMESPAN_SECONDS // 86_400} days"
            )
        needs_field = self.type in _VALUES
        if self.condition is None and not self.type.startswith("temporal"):
            raise ValueError(f"{self.type} needs a condition")
        if self.condition is not None and bool(self.condition.fields) is not needs_field:
            word = "needs" if needs_field else "has no use for"
            raise ValueError(f"{self.type} {word} condition.field")
        least = self.condition and max(self.condition.gt or 0, self.condition.gte or 0)
        if self.type in {"event_count", "value_count"} and least and least > MAX_MATCHES:
            raise ValueError(f"{self.type} counts at most {MAX_MATCHES} matches")
        if self.condition and len(self.condition.fields) > 1 and self.counts_numbers:
            raise ValueError(f"{self.type} takes one field")

    @property
    def counts_numbers(self) -> bool:
        """Whether the field's values are taken as numbers, rather than told apart."""
        if self.type == "value_percentile":
            return self.condition is not None and self.condition.percentile is not None
        return self.type in {"value_sum", "value_avg", "value_median"}

    @property
    def seconds(self) -> int | None:
        """The timespan, or None where it cannot be read."""
        found = _TIMESPAN.fullmatch(self.timespan)
        if found is None:
            return None
        seconds = int(found.group(1)) * _UNIT_SECONDS[found.group(2)]
        return seconds if seconds <= MAX_TIMESPAN_SECONDS else None


class CorrelationFile(Described, frozen=True, kw_only=True):
    """A rule file with a correlation in it."""

    correlation: CorrelationSettings
    generate: bool = False
    """Whether the members raise alerts of their own too; the specification's text has it here, the
    collections that use it in the section."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation that was read and whose rules were found.

    `members` are the ids of the rules and correlations that it is about, in the file's order.
    `group_by` and `fields` say for each member where its event has the value.
    """

    file: CorrelationFile
    members: tuple[str, ...]
    group_by: tuple[dict[str, Selector], ...]
    fields: tuple[Selector, ...]
    path: str
    document: Document | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """The correlation's stable identity."""
        return self.file.identity

    @property
    def notifies(self) -> bool:
        """Whether alerts are sent; see `Rule.notifies`."""
        return self.file.status == "stable"

    def is_fulfilled_by(self, number: float) -> bool:
        """Return whether a number is what the condition asks for: without one, all members."""
        condition = self.file.correlation.condition
        return condition.holds(number) if condition else number >= len(self.members)

    @property
    def only_grows(self) -> bool:
        """Whether a match that fires goes on to do so when more matches come in."""
        settings = self.file.correlation
        counts = {"event_count", "value_count", "temporal", "temporal_ordered"}
        return settings.type in counts and (
            settings.condition is None or settings.condition.only_grows
        )

    @property
    def generates(self) -> bool:
        """Whether the members raise alerts of their own too."""
        return self.file.generate or self.file.correlation.generate

    @property
    def counts_numbers(self) -> bool:
        """Whether the field's values are taken as numbers, rather than told apart."""
        return self.file.correlation.counts_numbers

    @property
    def timespan(self) -> int:
        """The timespan in seconds."""
        seconds = self.file.correlation.seconds
        assert seconds is not None  # noqa: S101 - checked when the file was read
        return seconds
