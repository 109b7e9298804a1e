"""The account of every record: what came in is what went somewhere.

    received = matched + unmatched + duplicate + skipped + rejected

A payload whose records cannot be told apart (a damaged file, a digest file) counts as one record.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

OUTCOMES = ("matched", "unmatched", "duplicate", "skipped", "rejected")


@dataclass(slots=True)
class Accounting:
    """How many records came in, and what became of them."""

    received: int = 0
    matched: int = 0
    unmatched: int = 0
    duplicate: int = 0
    skipped: int = 0
    rejected: int = 0

    @property
    def is_balanced(self) -> bool:
        """Whether every record is accounted for."""
        accounted = self.matched + self.unmatched + self.duplicate + self.skipped + self.rejected
        return self.received == accounted

    def add(self, other: Accounting) -> None:
        """Add another account to this one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_json(self) -> dict[str, int]:
        """Return the account in the words of the command line's contract."""
        return {"in": self.received} | {outcome: getattr(self, outcome) for outcome in OUTCOMES}
