"""All that a payload holds, in one piece."""

from __future__ import annotations

from detector.envelopes.payload import Limits
from detector.matching import PayloadMatches, match_payload
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Payload


def all_matches(payload: Payload, rules: RuleSet, limits: Limits) -> PayloadMatches:
    """Return what all slices of a payload hold together."""
    whole = PayloadMatches()
    for piece in match_payload(payload, rules, limits):
        assert piece.first == whole.accounting.received
        whole.accounting.add(piece.accounting)
        whole.events += piece.events
        whole.places += piece.places
        whole.skipped += piece.skipped
        whole.rejections += piece.rejections
        whole.trails |= piece.trails
    return whole
