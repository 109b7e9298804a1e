"""Any text is a filter pattern that means one thing by every way, or is refused with its place."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import yaml

from tests.fuzz.running import fuzz, instrumented, rule_files

with instrumented():
    from detector.errors import PatternError
    from detector.rules.filter_pattern import (
        MAX_PATTERN_CHARACTERS,
        parse_filter_pattern,
        repaired,
    )
    from detector.rules.ruleset import RuleSet
    from detector.rules.syntax import Node
    from tests.rules import rule_of_tree
    from tests.unit.test_hostile_rules import ALPHABET, PATTERNS
    from tests.unit.verdict import ids_by_oracle, ids_of_batch

# Of the benchmark's kind, and of its kinds of fault.
SEEDS = (
    '{ ($.eventName = "ConsoleLogin") && ($.additionalEventData.MFAUsed != "Yes") }',
    '{ $.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS'
    ' && $.eventType != "AwsServiceEvent" }',
    '{($.errorCode="*UnauthorizedOperation") || ($.errorCode="AccessDenied*")}',
    "{ ($.eventName = Delete Group) || ($.eventName == AttachRolePolicy) }",
    "{ ($.eventSource = s3.amazonaws.com) && (($.eventName = Put Bucket Acl)) }",
    '{ ($.eventName = ConsoleLogin") || $eventName = "a" || $.errorCodeNOT EXISTS }',
    "{ $.responseElements IS NULL || $.readOnly IS FALSE || $.a[0].b IS TRUE }",
    "{ $.a[*].b = 1.5 || $.a[1] >= 1e3 || $.['odd.name'] = %^[a-f]{2,}\\.x$% || $.* < -1 }",
    '[ip, user, ..., status = 40* && status != "404", bytes > 10, last]',
    "[..., a = %x|y%, b]",
    "[a != x, , b IS, c]",
    'ERROR "access denied" -debug ?warn ?fatal',
    "%AccessDenied|Unauthorized%",
    '"two words" -"not these"',
)
WORDS = (
    *ALPHABET,
    *("$.", "&&", "||", "!=", "<=", ">=", "==", "...", "[*]", ".*", "['", "']", "{,", "\\x41"),
    *("IS NULL", "IS TRUE", "NOT EXISTS", "EXISTS", "eventName", "$.eventName = ", "é", "\u2028"),
    *("1e999", "9" * 20, "\u0663", "\u017f", "\u212a"),
)
TEXTS = (
    '{"eventName": "ConsoleLogin", "eventSource": "signin.amazonaws.com", "userIdentity":'
    ' {"type": "Root", "arn": "arn:aws:iam::1:root"}, "responseElements": null,'
    ' "additionalEventData": {"MFAUsed": "No"}, "readOnly": false}',
    '{"eventName":"PutBucketAcl","eventSource":"s3.amazonaws.com","errorCode":"AccessDenied",'
    '"errorMessage":"access denied: é\\n\\"x\\"","odd.name":"ab.x","1":1,"b":"404"}',
    '{"eventName": 1, "a": [{"b": 1.5}, 1000, "x", [true, null]], "b": -0.0, "c": 1e20,'
    ' "d": 100000000000000000000, "e": "1.0", "f": "", "": {"": "*"}}',
    '{"a": {"b": {"c": ["x", {"b": "1"}]}}, "userIdentity": [], "eventSource": {"eventName": 7}}',
    "{}",
)
EVENTS = [(msgspec.json.decode(text), text) for text in TEXTS]


def check(data: bytes) -> None:
    """Read a pattern, or what it was probably meant to be, and ask it of the events."""
    text = data.decode(errors="replace")
    meant = repaired(text)
    try:
        tree = parse_filter_pattern(text)
    except PatternError as error:
        assert 0 <= error.offset <= len(text)
        assert error.message
        assert "\n" not in error.message
        if error.edit is not None:
            assert 0 <= error.edit.offset <= len(text)
            assert error.edit.apply(text) != text
    else:
        assert meant is None
        check_meaning(tree)
    if meant is not None:
        assert meant != text
        # The parser of patterns in braces knows no limit of length.
        if len(meant) <= MAX_PATTERN_CHARACTERS:
            check_meaning(parse_filter_pattern(meant))


def check_meaning(tree: Node) -> None:
    """Ask a tree of the events by the oracle, and compiled, of single records and of a batch."""
    rules = [rule_of_tree(tree, "r")]
    compiled = RuleSet(rules)
    expected = [ids_by_oracle(rules, event, text) for event, text in EVENTS]
    assert [compiled.match(event, text) for event, text in EVENTS] == expected
    assert ids_of_batch(compiled, TEXTS) == expected


def seeds() -> Iterator[bytes]:
    """Yield the shipped rules' patterns, and others."""
    for path in rule_files():
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if "pattern" in document:
                yield document["pattern"].encode()
    for pattern in (*SEEDS, *PATTERNS):
        yield pattern.encode()


if __name__ == "__main__":
    fuzz(check, seeds=seeds(), words=WORDS, max_bytes=MAX_PATTERN_CHARACTERS + 64)
