"""What the linter has to say of a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detector.errors import Edit, Place

Code = Literal[
    "negated-optional-field",
    "always-true-or",
    "mixed-operators",
    "unknown-event-name",
    "shared-event-name",
    "unquoted-account-id",
    "negated-wildcard",
    "untested",
    "shadowed-rule",
    "unreachable-threshold",
    "unreachable-branch",
    "unknown-reference",
    "foreign-logsource",
    "unused-exception",
]
"""`lint_exceptions` in a rule file accepts findings by these codes."""

EndingCode = Literal["expiring-exception", "expired-exception", "ended-silence"]
"""Findings that nothing accepts: they are of a day, and are settled by a change."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `accepted` is the reason why the rule's author lives with it.

    `fix` is a change of the file's text that keeps the rule's meaning, where there is one; its
    offset counts characters in the whole file.
    """

    code: Code | EndingCode
    message: str
    place: Place
    remedy: str | None = None
    fix: Edit | None = None
    accepted: str | None = None

    def __str__(self) -> str:
        text = f"{self.place}: {self.message} [{self.code}]"
        return f"{text}; {self.remedy}" if self.remedy else text
