"""Any bytes are a log file in which every record is accounted for, or are refused with a reason."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.fuzz.running import RULES, Form, fuzz, instrumented

with instrumented():
    from detector import lenient_json
    from detector.envelopes.compression import inflate
    from detector.envelopes.log_file import LogFile
    from detector.envelopes.payload import Limits
    from detector.errors import PayloadError
    from detector.rules.engine import BatchMatches
    from detector.rules.rule import Rule
    from detector.rules.ruleset import RuleSet
    from detector.sources.delivery import Payload
    from tests.matched import all_matches
    from tests.records import log_file, record, zipped_log_file
    from tests.unit.verdict import ids_by_oracle

SHIPPED = RuleSet.load(RULES)
RULES_IN_ORDER = list(SHIPPED.rules.values())
LIMITS = Limits(max_inflated_bytes=1 << 16, max_values=1 << 12)
"""So small that an input comes to them."""

SEEDS = (
    b"",
    b'{"Records": []}',
    b'{"Records": [1, null, "x", [], {}, {"eventName": null}]}',
    b'{"Records": [{"eventType": "AwsCloudTrailInsight"}, {"eventName": "x"}]}',
    b'{"Records": [{}], "x": {"Records": [[]]}, "Records": [{"eventName": "x"}]}',
    b'\xef\xbb\xbf{"Records": [{"eventName": "a\\ud83d", "userAgent": "\xff", "a": 1e999}]}',
    b'{"digestEndTime": "2026-09-16T12:00:00Z"}',
    b'{"Records": [{"eventName": "PutUserPolicy", "userIdentity": ["x"], "requestParameters":'
    b' {"a": ' + b"[" * 60 + b"]" * 60 + b"}}]}",
    zipped_log_file(record()),
    zipped_log_file(record())[:-5],
    zipped_log_file(record()) + b"\0\0",
    gzip.compress(b'{"Records":') + gzip.compress(b" []}"),
)
WORDS = (
    *('{"Records": [', "]}", "null", "true", "1e999", "-0.0", "\\ud83d", "\\u0000", "\\\\"),
    "\ufeff",
    *("[[[[[[[[", "]]]]]]]]", '{"":', '"eventName": ', '"eventSource": ', '"eventTime": '),
    *('"userIdentity": ', '"requestParameters": ', '"recipientAccountId": ', '"eventID": '),
    *('"errorCode": ', '"eventType": ', '"AwsCloudTrailInsight"', '"digestEndTime": '),
    *(f'"{name}"' for name in ("AccessDenied", "Root", "iam.amazonaws.com", "ConsoleLogin")),
)
VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**400, 2**63, 1e308, "", "x", "Root", "ConsoleLogin", "1"),
    *([], {}, [None], [[{}]], {"eventName": "PutUserPolicy"}, {"type": "Root", "arn": []}),
    *("eventName", "eventSource", "userIdentity", "requestParameters", "errorCode", "eventTime"),
    *("userName", "sessionContext", "attributes", "mfaAuthenticated", "invokedBy", "eventType"),
    *("AwsCloudTrailInsight", "iam.amazonaws.com", "AccessDenied", "\ud83d", "a\nb", "é"),
    *("2026-09-16T12:00:00Z", "2026-09-16T12:00:00+99:99", "0000-00-00T00:00:00Z", "10.0.0.1"),
)
_ANY_RECORD = msgspec.json.Decoder(dict[str, Any])


def check(data: bytes) -> None:
    """Judge bytes as they are, and compressed, by the engine and as a delivery."""
    outcome = judged(data)
    check_account(data)
    if not data.startswith(b"\x1f\x8b") and data:
        assert judged(gzip.compress(data, 1, mtime=0)) == outcome
        assert (outcome == "malformed_json") <= (not is_json(data))


def is_json(document: bytes) -> bool:
    """Return whether a document that CloudTrail may have cut or garbled is JSON otherwise."""
    text = document.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    try:
        json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return True


def _no_number(name: str) -> None:
    raise ValueError(name)


def judged(body: bytes) -> object:
    """Return the reason for which a body is refused, or the ids that match each record."""
    try:
        file = LogFile(inflate(body, max_bytes=LIMITS.max_inflated_bytes))
        found = SHIPPED.match_batch(file)
    except PayloadError as error:
        assert error.message
        return error.reason
    positions = range(found.count)
    refused = [*found.not_records, *found.unreadable]
    assert len(set(refused)) == len(refused)
    assert {*refused, *found.matched, *found.nameless} <= {*positions}
    assert {*found.matched, *found.nameless}.isdisjoint(found.not_records)
    assert found.matched.keys().isdisjoint(found.unreadable)
    check_records(file, found)
    return [[rule.id for rule in found.matched.get(index, ())] for index in positions]


def check_records(file: LogFile, found: BatchMatches[Rule]) -> None:
    """Ask the oracle of each record."""
    raw = file.raw()
    assert len(raw) == found.count
    for index, item in enumerate(raw):
        try:
            event = lenient_json.decode(_ANY_RECORD, item)
        except (msgspec.DecodeError, RecursionError):
            assert index not in found.matched
            continue
        text = bytes(item).decode(errors="replace")
        expected = ids_by_oracle(RULES_IN_ORDER, event, text)
        assert index not in found.not_records
        assert [rule.id for rule in found.matched.get(index, ())] == expected
        assert SHIPPED.match(event, text) == expected


def check_account(body: bytes) -> None:
    """Check that all that came in went somewhere."""
    result = all_matches(Payload("memory:0", body), SHIPPED, LIMITS)
    account = result.accounting
    assert account.is_balanced
    assert min(account.as_json().values()) >= 0
    assert account.matched == len(result.events)
    assert account.rejected == len(result.rejections)
    assert account.skipped == result.skipped.total()


def seeds() -> Iterator[bytes]:
    """Yield log files of each record in the shipped rules' own tests, and odd ones."""
    for rule in RULES_IN_ORDER:
        for test in rule.file.tests:
            yield log_file(test.event)
    yield from SEEDS


FORM = Form(json.loads, lambda data: json.dumps(data).encode(), VALUES)

if __name__ == "__main__":
    fuzz(check, seeds=seeds(), words=WORDS, max_bytes=4096, form=FORM)
