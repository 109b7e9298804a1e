"""Filter documents: what is excepted from rules that somebody else wrote, in Sigma's words.

Source: Sigma Filters Specification 2.1.0. `expires` and `reason` are ours: an exception without an
end and without a reason is a hole that nobody remembers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from detector.document import Document
from detector.rules.rule import CLOUDTRAIL, LogSource, Rule
from detector.rules.syntax import And, Before, Condition, Node, Not, Selector

EVENT_TIME = Selector(("eventTime",))


class FilterFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file with a filter in it. `expires` is the first day on which it does not hold, in UTC."""

    title: str
    id: str = ""
    description: str = ""
    author: str = ""
    date: str = ""
    modified: str = ""
    taxonomy: str = "sigma"
    references: tuple[str, ...] = ()
    logsource: LogSource = CLOUDTRAIL
    filter: dict[str, Any]
    expires: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueError("title is empty")
        try:
            if self.expires is not None:
                date.fromisoformat(self.expires)
        except ValueError:
            raise ValueError("expires is a day, as 2026-12-31") from None
        rules = self.filter.get("rules")
        if rules != "any" and not (
            isinstance(rules, list) and all(isinstance(item, str) for item in rules)
        ):
            raise ValueError("filter.rules is a list of rules' ids or names, or any")

    @property
    def expiry(self) -> float | None:
        """When the exception ends, in seconds since the epoch."""
        if self.expires is None:
            return None
        day = date.fromisoformat(self.expires)
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class RuleFilter:
    """A filter that was read and parsed."""

    file: FilterFile
    tree: Node
    path: str
    document: Document | None = None

    def is_about(self, rule: Rule) -> bool:
        """Return whether the filter makes exceptions from a rule."""
        if not self.file.logsource.holds(rule.file.logsource):
            return False
        rules = self.file.filter["rules"]
        return rules == "any" or not {rule.id, rule.file.name}.isdisjoint({*rules} - {""})

    @property
    def excepted(self) -> Node:
        """What is excepted: of an exception that expires, events from before its end.

        Such an event is excepted whenever it comes in.
        """
        if self.file.expiry is None:
            return self.tree
        return And((Condition(EVENT_TIME, Before(self.file.expiry)), self.tree))


def with_exceptions(tree: Node, filters: Iterable[RuleFilter]) -> Node:
    """Return a rule's tree with the exceptions that filters make from it."""
    exceptions = tuple(Not(item.excepted) for item in filters)
    return And((tree, *exceptions)) if exceptions else tree
