"""What holds for any records in any envelope, and for any damage to it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from detector.envelopes.json_stream import (
    Broken,
    JSONStream,
    LogFileRecord,
    Piece,
)
from detector.envelopes.message import open_message
from detector.envelopes.payload import Limits, open_payload
from detector.errors import PayloadError
from tests.envelopes import ENCODERS, WRAPPINGS, compact, members
from tests.strategies import examples
from tests.unit.test_payloads import matched

Records = list[dict[str, Any]]

# Strings in which a careless reader finds the ends of documents, and envelopes.
_pieces = st.sampled_from(
    [
        *("}{", "}\n{", '"', "\\", '\\"', "},", "]}", '{"Records":[', "\n", "é", "\U0001f512", "["),
        *("aws:s3", '"aws:s3"', '"eventName":', "\\ud83d", "\x7f", "a", "1e999", "{", "}"),
    ]
)
texts = st.one_of(st.lists(_pieces, max_size=5).map("".join), st.text(max_size=8))
values = st.recursive(
    st.one_of(texts, st.integers(-5, 5), st.sampled_from([1.5, -0.25, 1e20, None, True])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def records(draw: st.DrawFn, min_size: int = 1, max_size: int = 4) -> Records:
    count = draw(st.integers(min_size, max_size))
    made = []
    for number in range(count):
        record = {"eventVersion": "1.11", "eventName": draw(texts), "eventID": str(number)}
        record |= {"eventTime": "2026-09-16T12:00:00Z", "userAgent": draw(texts)}
        made.append({**record, "requestParameters": draw(values), "z": draw(values)})
    return made


encoders = st.sampled_from(list(ENCODERS))
wrappings = st.lists(
    st.sampled_from(["gzip", "members", "sns", "cloudwatch_logs", "lambda", "kpl", "blank"]),
    max_size=2,
)


def enclosed(made: Records, encoder: str, names: Sequence[str]) -> bytes:
    """Return records in an encoding, and that in wrappings; what holds text only holds text."""
    body = ENCODERS[encoder](made)
    for name in names:
        try:
            body = WRAPPINGS[name](body)
        except UnicodeDecodeError:
            continue
    return body


def there(body: bytes) -> list[Mapping[str, Any]]:
    return [event.record for event, _ in matched(body).events]


@examples(200)
@given(records(), encoders, wrappings)
def test_what_was_put_into_envelopes_comes_out_of_them(
    made: Records, encoder: str, names: list[str]
) -> None:
    body = enclosed(made, encoder, names)
    found = matched(body)
    assert [event.record for event, _ in found.events] == made
    assert found.accounting.received == len(made)


@examples(100)
@given(records(), encoders, st.lists(st.integers(0), max_size=6))
def test_gzip_is_cut_into_members_anywhere(made: Records, encoder: str, at: list[int]) -> None:
    body = members(ENCODERS[encoder](made), at)
    assert there(body) == made
    assert there(gzip.compress(body)) == made


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The body with some bytes flipped, cut out, put in, repeated, or moved."""
    at = draw(st.integers(0, len(body) - 1))
    size = draw(st.integers(1, 8))
    part = body[at : at + size]
    other = draw(st.integers(0, len(body)))
    match draw(st.integers(0, 4)):
        case 0:
            return body[:at] + bytes([body[at] ^ draw(st.integers(1, 255))]) + body[at + 1 :]
        case 1:
            return body[:at] + body[at + size :]
        case 2:
            put = draw(st.sampled_from([b"}", b"{", b'"', b"]", b",", b"[", b"\\", b"\n", b"\0x"]))
            return body[:at] + put + body[at:]
        case 3:
            return body[:at] + part + body[at:]
        case _:
            rest = body[:at] + body[at + size :]
            return rest[:other] + part + rest[other:]


@examples(400)
@given(records(), encoders, wrappings, st.data())
def test_no_record_is_lost_to_damage_in_silence(
    made: Records, encoder: str, names: list[str], data: st.DataObject
) -> None:
    body = data.draw(damaged(enclosed(made, encoder, names)))
    found = matched(body)
    lost = len(made) - found.accounting.matched - found.accounting.unmatched
    assert lost <= 0 or found.rejections or found.skipped


@examples(100)
@given(records(), encoders, st.data())
def test_a_message_is_opened_or_refused(made: Records, encoder: str, data: st.DataObject) -> None:
    body = data.draw(damaged(enclosed(made, encoder, ["sns"])))
    try:
        open_message(body.decode(errors="surrogateescape"))
    except PayloadError as error:
        assert error.reason == "unrecognised"


@examples(200)
@given(st.one_of(st.binary(max_size=60), st.lists(_pieces, max_size=12).map("".join)))
def test_no_bytes_at_all_are_too_much_for_the_opener(body: bytes | str) -> None:
    payload = body if isinstance(body, bytes) else body.encode()
    list(open_payload(payload, Limits(max_inflated_bytes=1 << 16, max_values=50)))
    matched(payload)


class ShortReads:
    """A reader that gives less than it is asked for."""

    def __init__(self, body: bytes, most: int) -> None:
        self._file = BytesIO(body)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._most))


def values_of(pieces: Sequence[Piece]) -> list[Any]:
    """Return documents, and records in the place of the log files that hold them."""
    found: list[Any] = []
    for piece in pieces:
        if isinstance(piece, Broken):
            found.append((bytes(piece.body).strip(), piece.is_rest))
            continue
        value = json.loads(bytes(piece.body))
        is_file = isinstance(value, dict) and list(value)[:1] == ["Records"]
        if is_file and isinstance(value["Records"], list) and not isinstance(piece, LogFileRecord):
            found += value["Records"]
        else:
            found.append(value)
    return found


def stream(body: bytes, window: int = 1 << 20, most: int = 1 << 20) -> list[Any]:
    return values_of(list(JSONStream(ShortReads(body, most), window=window)))


documents = st.one_of(
    st.builds(
        lambda made, encoder: ENCODERS[encoder](made),
        records(),
        st.sampled_from(
            ["log file", "concatenated", "lines", "over lines", "not escaped", "cloudwatch logs"]
        ),
    ),
    values.map(lambda value: compact(value).encode() + b" "),
)


@examples(200)
@given(
    st.lists(documents, min_size=1, max_size=3).map(b"".join),
    st.sampled_from([1, 2, 3, 5, 16, 64, 300]),
    st.sampled_from([1, 3, 7, 1000]),
)
def test_the_window_and_the_reads_change_nothing(body: bytes, window: int, most: int) -> None:
    assert stream(body, window, most) == stream(body)


@examples(100)
@given(st.lists(documents, min_size=1, max_size=3).map(b"".join))
def test_a_stream_holds_what_python_finds_in_it(body: bytes) -> None:
    text, at = body.decode(), 0
    found: list[Any] = []
    decoder = json.JSONDecoder()
    while at < len(text) and (rest := text[at:].lstrip()):
        value, end = decoder.raw_decode(rest)
        at = len(text) - len(rest) + end
        is_file = isinstance(value, dict) and list(value)[:1] == ["Records"]
        found += value["Records"] if is_file else [value]
    assert stream(body) == found


@examples(200)
@given(
    st.lists(documents, min_size=1, max_size=3).map(b"".join).flatmap(damaged),
    st.sampled_from([16, 64, 300]),
)
def test_damage_is_the_same_through_any_window(body: bytes, window: int) -> None:
    whole = list(JSONStream(BytesIO(body)))
    pieces = list(JSONStream(BytesIO(body), window=window))
    assert bool([p for p in pieces if isinstance(p, Broken)]) == bool(
        [p for p in whole if isinstance(p, Broken)]
    )


@examples(200)
@given(
    st.lists(documents, min_size=1, max_size=3).map(b"".join),
    st.sampled_from([1, 3, 7, 1000]),
)
def test_a_body_without_an_end_holds_the_same(body: bytes, most: int) -> None:
    endless = JSONStream(ShortReads(body, most), is_endless=True)
    assert values_of(list(endless)) == stream(body)


@examples(200)
@given(
    st.lists(documents, min_size=1, max_size=3).map(b"".join).flatmap(damaged),
    st.sampled_from([1, 3, 7, 1000]),
)
def test_damage_is_told_of_a_body_without_an_end(body: bytes, most: int) -> None:
    pieces = list(JSONStream(ShortReads(body, most), is_endless=True))
    assert bool([p for p in pieces if isinstance(p, Broken)]) == bool(
        [p for p in JSONStream(BytesIO(body)) if isinstance(p, Broken)]
    )
