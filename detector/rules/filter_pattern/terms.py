"""Filter patterns of terms, to be found anywhere in an event's text.

    pattern := ( ( '?' | '-' )? ( word | '"' phrase '"' | '%' regex '%' ) )*

All plain terms must be found and no excluded one (`-`); of optional terms (`?`) at least one, but
beside any other term optional ones are ignored. Source: Amazon CloudWatch Logs User Guide, "Using
filter patterns to match terms in unstructured log events".
"""

from __future__ import annotations

import re

from detector.rules.filter_pattern.scanner import Scanner, exact
from detector.rules.syntax import ALWAYS, And, InText, Node, Not, Or

_WORD = re.compile(r"\w+")


def parse_terms(pattern: str) -> Node:
    """Return the tree of a pattern of terms; the empty one, and `" "`, match every event.

    Raises:
        PatternError: the text is no such pattern.
    """
    if pattern.strip() in {"", '" "'}:
        return ALWAYS
    scanner = Scanner(pattern, stops="")
    required: list[Node] = []
    optional: list[Node] = []
    scanner.skip_space()
    while not scanner.at_end:
        prefix = scanner.text[scanner.offset]
        if prefix in "?-":
            scanner.offset += 1
        term = _term(scanner)
        if prefix == "?":
            optional.append(term)
        else:
            required.append(Not(term) if prefix == "-" else term)
        scanner.skip_space()
    operands = required or [Or(tuple(optional))]
    return operands[0] if len(operands) == 1 else And(tuple(operands))


def _term(scanner: Scanner) -> Node:
    regex = scanner.regex()
    if regex is not None:
        return InText(regex)
    phrase = scanner.quoted()
    if phrase is not None:
        return InText(exact(phrase))
    word = scanner.match(_WORD)
    end = scanner.text[scanner.offset : scanner.offset + 1]
    if word is None or (end and not end.isspace()):
        raise scanner.fault(
            f"{end!r} cannot stand in a term without quotes" if end else "expected a term",
            scanner.offset,
            remedy="put the term in double quotes, or a condition on JSON in braces { }",
        )
    return InText(exact(word.group()))
