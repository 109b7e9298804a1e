"""A rule, as its file says it and as the detector uses it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from detector.rules.syntax import Node, Selector

Level = Literal["informational", "low", "medium", "high", "critical"]
Status = Literal["stable", "test", "experimental", "deprecated", "unsupported"]
ComparisonOperator = Literal["GreaterThanOrEqualToThreshold", "GreaterThanThreshold"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class LogSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which logs a rule is for, in Sigma's words."""

    product: Literal["aws"] = "aws"
    service: Literal["cloudtrail"] = "cloudtrail"


class WindowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a rule's matches are counted, in CloudWatch's words.

    `period` is in seconds, `threshold` in events; `group_by` names the record's fields whose values
    are counted apart. The defaults are those of the benchmark's alarms.
    """

    period: int = 300
    threshold: int = 1
    comparison_operator: ComparisonOperator = "GreaterThanOrEqualToThreshold"
    group_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 60 <= self.period <= 86_400 or self.period % 60:  # noqa: PLR2004
            raise ValueError("period is a multiple of 60, from 60 to 86400 seconds")
        if self.threshold < (self.comparison_operator == "GreaterThanOrEqualToThreshold"):
            raise ValueError("a window without events cannot raise an alert: threshold is too low")
        if len(set(self.group_by)) != len(self.group_by):
            raise ValueError("group_by names a field twice")

    def is_crossed_by(self, count: int) -> bool:
        """Return whether a window with this many events is over the threshold."""
        if self.comparison_operator == "GreaterThanThreshold":
            return count > self.threshold
        return count >= self.threshold


class RuleTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record and whether the rule fires on it."""

    name: str
    fires: bool
    event: dict[str, Any]


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule file's content. Sigma's words where Sigma has one, CloudWatch's where it has."""

    title: str
    id: str
    level: Level
    pattern: str
    status: Status = "stable"
    description: str = ""
    references: tuple[str, ...] = ()
    author: str = ""
    date: str = ""
    modified: str = ""
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    controls: dict[str, str | dict[str, str]] = {}
    logsource: LogSource = LogSource()
    window: WindowSettings = WindowSettings()
    runbook: str = ""
    tests: tuple[RuleTest, ...] = ()

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueError("title is empty")
        if not _ID.fullmatch(self.id):
            raise ValueError("id is a UUID, or letters, digits, '.', '_' and '-', at most 128")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read, parsed and found good."""

    file: RuleFile
    tree: Node
    group_by: tuple[tuple[str, Selector], ...]
    """Each field as the rule's author wrote it, and where to find it in a record."""
    path: str

    @property
    def id(self) -> str:
        """The rule's stable identity."""
        return self.file.id

    @property
    def notifies(self) -> bool:
        """Whether the rule's alerts are sent: a staged rule matches, counts, and stays silent."""
        return self.file.status == "stable"
