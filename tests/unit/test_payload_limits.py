"""What a payload can cost: work is counted, in bytes and documents, rather than timed."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from detector import matching
from detector.envelopes import json_stream, payload
from detector.envelopes.compression import Inflated
from detector.envelopes.json_stream import Broken, Document, JSONStream, LogFilePiece, Tolerance
from detector.envelopes.payload import Limits
from detector.lenient_json import repair
from detector.matching import match_payload
from detector.sources.delivery import Payload
from tests.compressed import bomb
from tests.envelopes import cloudwatch_logs, kpl, lambda_event
from tests.matched import all_matches
from tests.records import log_file, record
from tests.unit.test_payloads import EVERYTHING, matched

MIB = 1 << 20


def reasons(body: bytes) -> set[tuple[str, bool]]:
    return {(item.reason, item.index is None) for item in matched(body).rejections}


# Work


class Buffer(bytes):
    """Bytes that count how much of them is searched."""

    searched = 0

    def rfind(self, *args: Any) -> int:
        Buffer.searched += len(self)
        return super().rfind(*args)


@pytest.mark.parametrize("between", [b" ", b"\n", b""])
def test_documents_in_a_row_are_not_searched_for_their_last_end_again_and_again(
    between: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (b'{"a":"}{"}' + between) * 2000
    stream = JSONStream(BytesIO(body), window=len(body) * 2)
    Buffer.searched = 0
    stream._grow()
    stream._buffer = Buffer(stream._buffer)
    assert sum(isinstance(piece, Document) for piece in stream) == 2000
    assert Buffer.searched < 8 * len(body)


def test_an_unfinished_string_of_quotes_is_looked_at_once() -> None:
    """Were it tried again from each of the quotes, this would take minutes."""
    quotes = b'\\"' * (MIB // 8)
    for begin in (b'{x "', b'{"Records":[x "', b'{"a":"b"}{x "', b'{"Records":[{"a":1},{x "'):
        for end in (b"", b"\\", b"\n"):
            assert "malformed_json" in {reason for reason, _ in reasons(begin + quotes + end)}
    assert repair(b'{x "' + quotes) == b'{x "' + quotes


def test_the_ends_of_refused_documents_are_looked_for_within_a_budget() -> None:
    tolerance = Tolerance(1000)
    body = b'{"a":"\\ud83d","b":[[[[]]]]}\n' * 500
    pieces = list(JSONStream(BytesIO(body), tolerance=tolerance))
    assert 30 < sum(isinstance(piece, Document) for piece in pieces) < 100
    assert isinstance(pieces[-1], Broken)
    assert pieces[-1].is_rest
    assert tolerance.left > -100


def test_the_budget_is_one_for_all_envelopes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream.Tolerance.__init__, "__defaults__", (1000,))
    looked = 0
    spend = Tolerance.spend

    def spent(self: Tolerance, marks: int, size: int) -> None:
        nonlocal looked
        looked += marks
        spend(self, marks, size)

    monkeypatch.setattr(json_stream.Tolerance, "spend", spent)
    found = matched(cloudwatch_logs(*["{\n" * 200] * 100))
    assert len(found.rejections) >= 100
    assert looked < 1300


def test_more_documents_than_a_payload_can_hold_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(payload, "MAX_DOCUMENTS", 100)
    event = json.dumps(record()).encode()
    for body in (event * 200, b'{"Records":[]}' * 200, b"[" + event + b",{}" * 200 + b"]"):
        assert ("too_many_documents", True) in reasons(body)
    assert matched(event * 100).accounting.matched == 100
    assert matched(event * 200).accounting.matched >= 90


def test_small_log_files_in_a_row_are_not_copied_with_all_that_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied = 0
    value_end = json_stream._value_end

    def counted(text: bytes, at: int, *, is_all: bool) -> int | None:
        nonlocal copied
        if text.startswith(json_stream._WITHOUT_RECORDS):
            copied += len(text)
        return value_end(text, at, is_all=is_all)

    monkeypatch.setattr(json_stream, "_value_end", counted)
    body = b'{"Records":[,]}' * 5000
    assert sum(isinstance(item, LogFilePiece) for item in JSONStream(BytesIO(body))) == 5000
    assert 5000 < copied < 5000 * 5000


# Memory


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: bomb(64 * MIB),
    "blanks": lambda: gzip.compress(b" " * (64 * MIB), 1),
    "blanks in a log file": lambda: gzip.compress(b'{"Records":[' + b" " * (64 * MIB) + b"]}", 1),
    "brackets": lambda: gzip.compress(b"[" * (16 * MIB), 1),
    "numbers in a list": lambda: gzip.compress(b"[" + b"1," * (8 * MIB) + b"1]", 1),
    "lists in a list, of a log file whose records come second": lambda: gzip.compress(
        b'{"a":1,"Records":[' + b"[]," * (8 * MIB) + b"1]}", 1
    ),
    "one string": lambda: gzip.compress(b'"' + b"a" * (64 * MIB), 1),
    "one string in a log file": lambda: gzip.compress(b'{"Records":["' + b"a" * (64 * MIB), 1),
    "aggregate of bombs": lambda: kpl(*[bomb(16 * MIB)] * 8),
    "bomb for Lambda": lambda: lambda_event(b" " * (64 * MIB)),
    "log events that are nothing": lambda: cloudwatch_logs(*[""] * 30_000),
    "unknown objects": lambda: gzip.compress((b'{"a":"' + b"x" * 300_000 + b'"}\n') * 200, 1),
    "numbers for records": lambda: gzip.compress(b'{"Records":[' + b"1," * (1 * MIB) + b"1]}", 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_does_not_follow_what_a_payload_claims_to_hold(name: str) -> None:
    body = HOSTILE[name]()
    tracemalloc.start()
    try:
        found = all_matches(Payload("memory:0", body), EVERYTHING, Limits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.accounting.is_balanced
    assert found.rejections or name == "blanks in a log file"
    assert peak < 192 * MIB


def test_so_many_rejections_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_REJECTIONS", 20)
    monkeypatch.setattr(payload, "BATCH_RECORDS", 30)
    body = b"\n".join([b"{}"] * 500 + [json.dumps(record()).encode()])
    found = all_matches(Payload("memory:0", body), EVERYTHING, Limits())
    assert len(found.rejections) == 21
    assert found.rejections[-1].index is None
    assert found.rejections[-1].reason == "too_many_rejections"
    assert found.accounting.is_balanced
    # What lies in the same log file was decoded together, and is matched all the same.
    found = all_matches(Payload("m", log_file(*[1] * 500, record())), EVERYTHING, Limits())
    assert found.accounting.matched == 1
    assert found.accounting.rejected == 501
    assert len(found.rejections) == 21


def test_so_much_is_kept_of_rejections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_REJECTED_BYTES", 1000)
    found = all_matches(Payload("m", b'{"a":"%s"}\n' % (b"x" * 500) * 50), EVERYTHING, Limits())
    assert len(found.rejections) == 3
    assert found.rejections[-1].index is None


def test_a_part_that_the_quarantine_cannot_hold_is_left_to_the_transport() -> None:
    for size, is_whole in ((1000, False), (matching.MAX_PART_BYTES, True)):
        body = b'{"a":"%s"}\n' % (b"x" * size) + json.dumps(record()).encode()
        found = matched(body)
        assert found.accounting.matched == 1
        assert [item.index is None for item in found.rejections] == [is_whole]


def test_an_announcement_among_records_is_kept_with_what_it_announces() -> None:
    announcement = b'{"s3Bucket":"b","s3ObjectKey":["k/1","k/2"]}'
    found = matched(json.dumps(record()).encode() + announcement)
    assert found.accounting.matched == 1
    assert [(item.index, item.body) for item in found.rejections] == [
        (1, b"s3://b/k/1"),
        (2, b"s3://b/k/2"),
    ]


@pytest.mark.parametrize(("name", "most"), [("SLICE_MATCHES", 25), ("SLICE_BYTES", 15_000)])
def test_a_payload_of_many_matches_comes_in_slices_that_leave_nothing_out(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"\n".join([*(json.dumps(record()).encode() for _ in range(70)), b"7"])
    monkeypatch.setattr(payload, "BATCH_RECORDS", 10)
    whole = matched(lines)
    assert (whole.accounting.matched, whole.places) == (70, list(range(70)))
    monkeypatch.setattr(matching, name, most)
    slices = list(match_payload(Payload("memory:0", lines), EVERYTHING, Limits()))
    assert [len(item.events) for item in slices] == [30, 30, 10]
    again = matched(lines)
    assert again.places == whole.places
    assert [event.identity for event, _ in again.events] == [
        event.identity for event, _ in whole.events
    ]
    assert [(item.index, item.reason) for item in again.rejections] == [(70, "unrecognised")]


# What is large and good, or only partly good


def large(*texts: str, count: int = 3000) -> bytes:
    events = [record(eventID=str(at), userAgent=texts[at % len(texts)]) for at in range(count)]
    return json.dumps({"Records": events}).encode()


def ids(pieces: list[Any]) -> list[str]:
    found = []
    for piece in pieces:
        assert not isinstance(piece, Broken), piece.error
        value = json.loads(bytes(piece.body))
        found += [item["eventID"] for item in value.get("Records", [value])]
    return found


@pytest.mark.parametrize(
    "text", ["-1", "1.5", "1e5", "-0.5e-7", "true", "null", '"\\u00e9\\ud83d\\udd12"']
)
def test_a_window_may_end_anywhere_in_a_value(text: str) -> None:
    """msgspec calls a number that breaks off malformed, and not truncated."""
    event = b'{"eventID":"x","a":%s,"b":[%s,%s]}' % ((text.encode(),) * 3)
    body = b'{"Records":[' + b",".join([event] * 30) + b"]}"
    for window in range(20, 20 + 2 * len(event)):
        assert ids(list(JSONStream(BytesIO(body), window=window))) == ["x"] * 30
        assert ids(list(JSONStream(BytesIO(event * 30), window=window))) == ["x"] * 30


def test_a_refused_record_may_lie_across_the_end_of_a_window() -> None:
    body = large("half a pair: \ud83d", "a", count=60)
    for window in range(600, 1800, 31):
        pieces = list(JSONStream(BytesIO(body), window=window))
        assert ids(pieces) == [str(at) for at in range(60)]


def test_what_comes_before_the_end_of_a_torn_file_is_read() -> None:
    body = gzip.compress(large("a", "b"))
    found = matched(body[: len(body) // 2])
    assert 1000 < found.accounting.matched < 3000
    assert [(item.reason, item.index) for item in found.rejections] == [("truncated", None)]
    assert matched(body).accounting.matched == 3000


def test_what_comes_before_a_limit_is_read() -> None:
    body = gzip.compress(large("a"))
    found = all_matches(Payload("memory:0", body), EVERYTHING, Limits(max_inflated_bytes=MIB // 2))
    assert [(item.reason, item.index) for item in found.rejections] == [("too_large", None)]


def test_damaged_data_is_not_taken_for_records() -> None:
    body = bytearray(gzip.compress(large("a"), 0))
    body[len(body) // 2] ^= 1
    found = matched(bytes(body))
    assert found.accounting.matched == 0
    assert [(item.reason, item.index) for item in found.rejections] == [("corrupt", None)]


def test_a_reader_is_not_asked_again_once_its_data_ended_early() -> None:
    body = gzip.compress(b"x" * 100_000)[:-4]
    inflated = Inflated(BytesIO(body), max_bytes=MIB)
    pieces = list(JSONStream(inflated))
    assert [(item.error.reason, item.is_rest) for item in pieces if isinstance(item, Broken)] == [
        ("truncated", True)
    ]


def test_records_twice_are_not_half_read() -> None:
    body = b'{"Records":[{"eventID":"1"}],"a":{"Records":1},"Records":[{"eventID":"2"}]}'
    pieces = list(JSONStream(BytesIO(body), window=16))
    assert [type(piece) for piece in pieces][-1] is Broken
    assert b'"2"' in bytes(pieces[-1].body)
    good = body.replace(b'"Records":[{"eventID":"2"}]', b'"b":"Records"')
    assert ids(list(JSONStream(BytesIO(good), window=16))) == ["1"]
