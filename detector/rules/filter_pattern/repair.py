"""What a malformed pattern was probably meant to be.

Published copies of the benchmark's patterns hold names that a line break has split, a dot or a
quote that was lost. Each fault that the parser can explain comes with an edit; this module applies
one after the other for as long as that helps.
"""

from __future__ import annotations

from detector.errors import PatternError
from detector.rules.filter_pattern.json_pattern import parse_json_pattern

MAX_EDITS = 32
"""A text that needs more is not a pattern with a few faults."""


def repaired(pattern: str) -> str | None:
    """Return the nearest well-formed JSON pattern, or None where none is known.

    A suggestion for a person, never to be used unseen.
    """
    text = pattern
    for _ in range(MAX_EDITS):
        try:
            parse_json_pattern(text)
        except PatternError as error:
            if error.edit is None:
                return None
            text = error.edit.apply(text)
        else:
            return text if text != pattern else None
    return None
