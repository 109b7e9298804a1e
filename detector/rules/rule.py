"""A rule, as its file says it and as the detector uses it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from detector.document import Document
from detector.rules.syntax import Node, Selector
from detector.rules.window import WindowSettings

Level = Literal["informational", "low", "medium", "high", "critical"]
Status = Literal["stable", "test", "experimental", "deprecated", "unsupported"]
Notify = Literal["episode", "window", "event"]

SILENT_STATUSES = frozenset({"deprecated", "unsupported"})
"""Sigma's words for rules that are kept for reference; they are checked, but not loaded."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TITLES = uuid.UUID("6f1b2c1e-7f0a-4d0e-9f39-5a1d4b6f7c20")
"""The namespace of ids that titles stand for."""


class LogSource(msgspec.Struct, frozen=True):
    """Which logs a rule is for, in Sigma's words; what is not said is meant to be any."""

    category: str | None = None
    product: str | None = None
    service: str | None = None
    definition: str | None = None

    @property
    def is_cloudtrail(self) -> bool:
        """Whether CloudTrail's records are among these logs."""
        return (
            self.category is None
            and self.product in {None, "aws"}
            and self.service in {None, "cloudtrail"}
        )

    def holds(self, other: LogSource) -> bool:
        """Return whether all of another's logs are among these."""
        return all(
            mine in {None, theirs}
            for mine, theirs in (
                (self.category, other.category),
                (self.product, other.product),
                (self.service, other.service),
            )
        )


CLOUDTRAIL = LogSource(product="aws", service="cloudtrail")


class RuleTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record and whether the rule fires on it."""

    name: str
    fires: bool
    event: dict[str, Any]


class Related(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another rule that a rule has to do with, in Sigma's words."""

    id: str
    type: Literal["derived", "obsolete", "merged", "renamed", "similar"]


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every kind of rule file says of itself, in Sigma's words.

    Without an `id` the title stands for it, so that a change of the title makes another rule.
    """

    title: str
    id: str = ""
    name: str = ""
    related: tuple[Related, ...] = ()
    taxonomy: str = "sigma"
    status: Status = "stable"
    description: str = ""
    license: str = ""
    references: tuple[str, ...] = ()
    author: str = ""
    date: str = ""
    modified: str = ""
    level: Level = "medium"
    tags: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    falsepositives: str | tuple[str, ...] = ()
    controls: dict[str, str | dict[str, str]] = {}
    runbook: str = ""
    notify: Notify = "episode"
    """Whether each episode of windows over the threshold pages once, or each window, or each event.
    """
    lint_exceptions: dict[str, str] = {}
    """Why the linter's finding of a code is accepted, by the code."""

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueError("title is empty")
        if self.id and not _ID.fullmatch(self.id):
            raise ValueError("id is a UUID, or letters, digits, '.', '_' and '-', at most 128")

    @property
    def identity(self) -> str:
        """The id, or the one that the title stands for."""
        return self.id or str(uuid.uuid5(_TITLES, self.title))

    @property
    def is_in_force(self) -> bool:
        """Whether the rule is loaded, rather than only checked."""
        return self.status not in SILENT_STATUSES


class RuleFile(Described, frozen=True, kw_only=True):
    """A rule: what to look for in one record, and how to count what is found."""

    logsource: LogSource = CLOUDTRAIL
    pattern: str | None = None
    """A CloudWatch Logs filter pattern; this or a detection."""
    detection: dict[str, Any] | None = None
    """Sigma's named searches, and the condition that joins them."""
    window: WindowSettings = WindowSettings()
    tests: tuple[RuleTest, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.pattern is None) is (self.detection is None):
            raise ValueError("a rule has either a pattern or a detection")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read, parsed and found good.

    `tree` is what the file says, with the exceptions that filters make. `document` is the file as
    it was read, for whoever has to name a place in it.
    """

    file: RuleFile
    tree: Node
    group_by: tuple[tuple[str, Selector], ...]
    """Each field as the rule's author wrote it, and where to find it in a record."""
    path: str
    document: Document | None = None
    metric: Selector | None = None
    """Where the record says what a match adds, where it is not the same for all."""

    @property
    def id(self) -> str:
        """The rule's stable identity."""
        return self.file.identity

    @property
    def notifies(self) -> bool:
        """Whether the rule's alerts are sent: a staged rule matches, counts, and stays silent."""
        return self.file.status == "stable"
