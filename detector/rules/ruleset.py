"""The rules in force: what they match, and which of them are about others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from detector.envelopes.types import RecordBatch
from detector.errors import Place, RuleError
from detector.rules.correlation import Correlation
from detector.rules.engine import BatchMatches, Engine
from detector.rules.loader import load_rules
from detector.rules.rule import Rule, RuleFile
from detector.rules.window import Mode


class RuleSet:
    """Rules and correlations, compiled. Immutable: new rules are a new set."""

    def __init__(self, rules: Iterable[Rule], correlations: Iterable[Correlation] = ()) -> None:
        self.rules: Mapping[str, Rule] = {rule.id: rule for rule in rules}
        self.correlations = _inner_first(correlations)
        self._by_id = {correlation.id: correlation for correlation in self.correlations}
        self._about: dict[str, list[Correlation]] = {}
        for correlation in self.correlations:
            for member in correlation.members:
                self._about.setdefault(member, []).append(correlation)
        in_force = list(self.rules.values())
        self._engine = Engine([rule.tree for rule in in_force], in_force)

    def in_mode(self, mode: Mode) -> RuleSet:
        """Return the same rules with windows of one mode, to see what the other would tell.

        What means something in one mode alone takes its default in the other.

        Raises:
            RuleError: a rule's window cannot be of that mode; with its place.
        """
        return RuleSet(
            (replace(rule, file=_in_mode(rule, mode)) for rule in self.rules.values()),
            self.correlations,
        )

    @classmethod
    def load(cls, path: str | Path) -> RuleSet:
        """Return the rules of a file or folder.

        Raises:
            RuleError: a rule is wrong; the first one, with its place.
        """
        loaded = load_rules([Path(path)])
        if loaded.errors:
            raise loaded.errors[0]
        return cls(loaded.rules, loaded.correlations)

    def get(self, identity: str) -> Rule | Correlation | None:
        """Return the rule or correlation of an id, None where there is none in force."""
        return self.rules.get(identity) or self._by_id.get(identity)

    def correlations_about(self, identity: str) -> Sequence[Correlation]:
        """Return the correlations that a rule, or another correlation, is a member of."""
        return self._about.get(identity, ())

    def stands_alone(self, identity: str) -> bool:
        """Return whether a rule or correlation raises alerts of its own.

        What is a member of correlations does so only if one of these says `generate`.
        """
        member = self.get(identity)
        is_sent = member is not None and member.notifies
        # A correlation that is only tried out silences nothing that is not.
        about = [item for item in self._about.get(identity, ()) if item.notifies or not is_sent]
        return not about or any(item.generates for item in about)

    def match(self, event: Mapping[str, Any], text: str | None = None) -> list[str]:
        """Return the ids of the rules that match one CloudTrail record.

        `text` is the record as it was delivered; its compact JSON if that is not given.
        """
        return [rule.id for rule in self._engine.match(event, text)]

    def match_batch(self, batch: RecordBatch) -> BatchMatches[Rule]:
        """Return which of a batch's records match, and which are no records at all.

        Raises:
            PayloadError: the batch cannot be read as a whole.
        """
        return self._engine.match_batch(batch)


def _in_mode(rule: Rule, mode: Mode) -> RuleFile:
    window = rule.file.window
    if window.mode != mode:
        plain = {} if mode == "sliding" else _ALIGNED
        try:
            window = msgspec.structs.replace(window, mode=mode, **plain)
        except ValueError as error:
            place = Place(rule.path) if rule.document is None else rule.document.place(["window"])
            raise RuleError(f"not as a window of the mode {mode}: {error}", place=place) from error
    return msgspec.structs.replace(rule.file, window=window)


_ALIGNED: dict[str, Any] = {
    "treat_missing_data": "missing",
    "evaluation_window": "sliding",
    "timezone": "UTC",
}


def _inner_first(correlations: Iterable[Correlation]) -> list[Correlation]:
    """Return correlations so that each comes after those that it is about."""
    pending = {correlation.id: correlation for correlation in correlations}
    ordered: list[Correlation] = []
    while pending:
        ready = [item for item in pending.values() if pending.keys().isdisjoint(item.members)]
        ordered += ready or pending.values()  # the loader lets no circle through
        for item in ready or list(pending.values()):
            del pending[item.id]
    return ordered
