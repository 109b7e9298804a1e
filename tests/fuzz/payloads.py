"""Any bytes are a payload of which every part is accounted for, and read alike by any window."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz.running import RULES, Form, fuzz, instrumented

with instrumented():
    from detector.envelopes.json_stream import (
        LOG_FILE,
        Broken,
        Document,
        JSONStream,
        LogFileRecord,
    )
    from detector.envelopes.log_file import LogFile
    from detector.envelopes.message import open_message
    from detector.envelopes.payload import Limits, open_payload
    from detector.envelopes.types import ObjectReference, Skipped, Unreadable
    from detector.errors import PayloadError
    from detector.rules.ruleset import RuleSet
    from detector.sources.delivery import Payload
    from tests.envelopes import WRAPPINGS, wrapped
    from tests.matched import all_matches

SHIPPED = RuleSet.load(RULES)
LIMITS = Limits(max_inflated_bytes=1 << 16, max_values=1 << 12)
"""So small that an input comes to them."""

MAX_BRACKETS = 500

FOLDER = Path(__file__).parents[1] / "payloads"
WORDS = (
    *('{"Records":[', "]}", "}{", "},{", "}\n{", "null", "1e999", "\\ud83d", "\\u0000", "\\\\"),
    *('\\"', "\ufeff", "[[[[", "]]]]", '"aws:s3"', '"ObjectCreated:Put"', '"DATA_MESSAGE"'),
    *('"eventName":', '"eventVersion":', '"messageType":', '"logEvents":', '"message":'),
    *('"detail-type":', '"detail":', '"via CloudTrail"', '"Type":"Notification"', '"Message":"'),
    *('"s3Bucket":', '"s3ObjectKey":', '"awslogs":{"data":"', '"Event":"s3:TestEvent"'),
    *('"digestEndTime":', "CloudTrail validation message."),
)
VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 1.5, 10**400, "", "x", [], {}, [None], [[{}]], "\ud83d", "}{", "é"),
    *("Records", "eventName", "eventVersion", "messageType", "logEvents", "message", "detail"),
    *("detail-type", "Type", "Message", "Notification", "s3Bucket", "s3ObjectKey", "awslogs"),
    *("data", "Event", "s3:TestEvent", "aws:s3", "ObjectCreated:Put", "DATA_MESSAGE", "key"),
    *({"eventName": "x", "eventVersion": "1"}, {"Records": []}, '{"eventName":"x"}'),
)


def check(data: bytes) -> None:
    """Look at bytes as a payload, as a queue's message, and as documents in a row."""
    check_account(data)
    check_windows(data)
    check_against_python(data)
    check_message(data)


def check_account(body: bytes) -> None:
    """Check that all that came in went somewhere, and that all that opens is accounted for."""
    result = all_matches(Payload("memory:0", body), SHIPPED, LIMITS)
    account = result.accounting
    assert account.is_balanced
    assert min(account.as_json().values()) >= 0
    assert account.matched == len(result.events)
    assert account.rejected == len(result.rejections)
    assert account.skipped == result.skipped.total()
    parts = [item.index for item in result.rejections if item.index is not None]
    assert len(set(parts)) == len(parts)
    assert all(item.message for item in result.rejections)
    refused = 0
    for content in open_payload(body, LIMITS):
        if isinstance(content, Unreadable):
            refused += 1
        else:
            assert isinstance(content, LogFile | ObjectReference | Skipped)
    assert account.rejected >= refused


def values_of(body: bytes, window: int) -> tuple[list[bytes], bool, bool]:
    """Return documents, with records in the place of log files; whether all was read, and well."""
    found: list[bytes] = []
    is_whole = is_good = True
    for piece in JSONStream(BytesIO(body), window=window):
        if isinstance(piece, Broken):
            is_good = False
            is_whole = is_whole and not piece.is_rest
        elif isinstance(piece, LogFileRecord):
            found.append(bytes(piece.body).strip())
        else:
            is_file = LOG_FILE.match(bytes(piece.body)) is not None
            try:
                records = LogFile(piece.body).raw() if is_file else [piece.body]
            except PayloadError:
                assert isinstance(piece, Document)
                records = [piece.body]
            found += [bytes(record).strip() for record in records]
    return found, is_whole, is_good


def check_windows(body: bytes) -> None:
    """Check that the window changes nothing of what is good."""
    whole = values_of(body, 1 << 20)
    for window in (1, 16, 200):
        seen = values_of(body, window)
        assert seen[2] == whole[2]
        if whole[2]:
            assert seen == whole


def check_against_python(body: bytes) -> None:
    """Check that whatever Python's decoder finds in a row is found, as far as it gets."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        return  # the two give up at other depths
    expected: list[Any] = []
    at = 0
    decoder = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_object)
    while rest := text[at:].lstrip(" \t\r\n"):
        try:
            value, end = decoder.raw_decode(rest)
        except RepeatedKeyError:
            return
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict | list):
            break  # it takes the begin of "13..7" for a number
        at = len(text) - len(rest) + end
        expected += _records_of(value)
    found: list[Any] = []
    for piece in JSONStream(BytesIO(body)):
        if isinstance(piece, Broken):
            break
        value = json.loads(bytes(piece.body))
        found += [value] if isinstance(piece, LogFileRecord) else _records_of(value)
    assert found[: len(expected)] == expected


def _records_of(value: Any) -> list[Any]:
    if isinstance(value, dict) and isinstance(value.get("Records"), list):
        records: list[Any] = value["Records"]
        return records
    return [value]


class RepeatedKeyError(Exception):
    """An object has a key twice: which of the values is meant, JSON does not say."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise RepeatedKeyError
    return made


def _refuse(name: str) -> None:
    raise ValueError(name)


def check_message(body: bytes) -> None:
    """Check that a message is followed, or taken as it is, or refused, but nothing else."""
    contents = [item for item in open_payload(body, LIMITS) if not isinstance(item, Skipped)]
    references = [item for item in contents if isinstance(item, ObjectReference)]
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    try:
        opened = open_message(text)
    except PayloadError as error:
        assert error.reason == "unrecognised"
        assert references
    else:
        assert opened == references or len(contents) > len(references)


def seeds() -> Iterator[bytes]:
    """Yield the payloads of the shared suite, plain, as they are wrapped, and zipped."""
    for row in yaml.safe_load((FOLDER / "expected.yaml").read_text()):
        body = (FOLDER / row["file"]).read_bytes()
        yield wrapped(body, row.get("wrapped", []))
        if row["file"].endswith(".json"):
            yield WRAPPINGS["kpl"](body)
            yield gzip.compress(body, mtime=0)


FORM = Form(json.loads, lambda data: json.dumps(data).encode(), VALUES)

if __name__ == "__main__":
    fuzz(check, seeds=seeds(), words=WORDS, max_bytes=4096, form=FORM)
