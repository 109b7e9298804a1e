"""CloudWatch Logs filter patterns, parsed to the syntax tree.

The first character says which of three languages a pattern is written in: `{` a condition on JSON,
`[` columns of a line of text, anything else terms to be found in the text. Source: Amazon
CloudWatch Logs User Guide, "Filter pattern syntax for metric filters, subscription filters, filter
log events, and Live Tail".
"""

from __future__ import annotations

from detector.errors import PatternError
from detector.rules.filter_pattern.columns import parse_columns
from detector.rules.filter_pattern.json_pattern import parse_json_pattern, parse_selector
from detector.rules.filter_pattern.repair import repaired
from detector.rules.filter_pattern.terms import parse_terms
from detector.rules.syntax import Node

__all__ = ["MAX_PATTERN_CHARACTERS", "parse_filter_pattern", "parse_selector", "repaired"]

MAX_PATTERN_CHARACTERS = 1024
"""PutMetricFilter takes no longer pattern, so a longer one could not be used on both sides."""


def parse_filter_pattern(pattern: str) -> Node:
    """Return the tree of a pattern.

    Raises:
        PatternError: the text is no pattern; the error carries the offset of the first character
            that does not fit, and what was expected there.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise PatternError(
            f"the pattern has {len(pattern)} characters, CloudWatch takes {MAX_PATTERN_CHARACTERS}",
            offset=MAX_PATTERN_CHARACTERS,
            remedy="split it over several rules, or write it as a Sigma detection",
        )
    first = pattern.lstrip()[:1]
    if first == "{":
        return parse_json_pattern(pattern)
    if first == "[":
        return parse_columns(pattern)
    return parse_terms(pattern)
