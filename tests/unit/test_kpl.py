import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detector.envelopes.kpl import MAX_GROUP_NESTING, deaggregate
from tests.kpl import MAGIC, aggregate, field, sealed, varint

PUBLISHED = bytes.fromhex(
    "f3899ac20a04706b2d610a04706b2d621a1308001a0f7b226576656e744944223a2231227d"
    "1a1308011a0f7b226576656e744944223a2232227d9bc33174dadfde81ccdf8f9b7c9b2251"
)
"""Two records under the keys pk-a and pk-b; AWS's own de-aggregator reads them so."""

USER_RECORDS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), max_size=20)

UNKNOWN = [
    field(9, 7),
    field(9, b"seven"),
    varint(9 << 3 | 1) + bytes(8),
    varint(9 << 3 | 5) + bytes(4),
    varint(9 << 3 | 3) + field(1, 1) + field(2, b"x") + varint(9 << 3 | 4),
    varint(9 << 3 | 3) + varint(8 << 3 | 3) + varint(8 << 3 | 4) + varint(9 << 3 | 4),
]

MALFORMED = {
    "a record without its data": field(3, field(1, 0)),
    "a record without its key's index": field(3, field(3, b"{}")),
    "a record of nothing": field(3, b""),
    "data of another wire type": field(3, field(1, 0) + field(3, 1)),
    "a length beyond the end": field(3, field(1, 0) + field(3, b"{}"))[:-1],
    "a length beyond the record's end": field(3, field(1, 0) + varint(3 << 3 | 2) + varint(9)),
    "a varint that breaks off": b"\x80",
    "a varint of eleven bytes": field(9, 1)[:1] + b"\x80" * 10 + b"\x01",
    "a fixed value that breaks off": varint(9 << 3 | 1) + bytes(7),
    "a field number of zero": varint(0) + varint(1),
    "a field number that is too large": varint(1 << 32) + varint(1),
    "a wire type that is none": varint(9 << 3 | 6),
    "the end of a group that never began": varint(9 << 3 | 4),
    "a group that does not end": varint(9 << 3 | 3),
    "a group that ends as another": varint(9 << 3 | 3) + varint(8 << 3 | 4),
    "groups without end": varint(9 << 3 | 3) * (MAX_GROUP_NESTING + 1)
    + varint(9 << 3 | 4) * (MAX_GROUP_NESTING + 1),
}


def test_the_published_aggregate_is_two_records() -> None:
    assert deaggregate(PUBLISHED) == [b'{"eventID":"1"}', b'{"eventID":"2"}']


def test_the_encoder_of_these_tests_makes_the_published_aggregate() -> None:
    records = [("pk-a", b'{"eventID":"1"}'), ("pk-b", b'{"eventID":"2"}')]
    assert aggregate(records) == PUBLISHED


@pytest.mark.parametrize("place", range(len(PUBLISHED) * 8))
def test_one_flipped_bit_makes_it_a_plain_record(place: int) -> None:
    flipped = bytearray(PUBLISHED)
    flipped[place // 8] ^= 1 << place % 8
    assert deaggregate(bytes(flipped)) is None


@pytest.mark.parametrize("length", range(len(PUBLISHED)))
def test_one_that_breaks_off_is_a_plain_record(length: int) -> None:
    assert deaggregate(PUBLISHED[:length]) is None


def test_a_message_of_nothing_is_too_short_to_be_an_aggregate() -> None:
    assert deaggregate(sealed(b"")) is None
    assert deaggregate(sealed(field(1, b"a key and no record"))) == []


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_protobuf_is_a_plain_record_even_if_its_digest_fits(message: bytes) -> None:
    whole = field(3, field(1, 0) + field(3, b"{}"))
    assert deaggregate(sealed(whole)) == [b"{}"]
    assert deaggregate(sealed(whole + message)) is None


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_unknown_fields_are_skipped(unknown: bytes) -> None:
    assert deaggregate(aggregate([("a", b"1"), ("b", b"2")], unknown)) == [b"1", b"2"]


def test_of_a_field_that_comes_twice_the_last_one_holds() -> None:
    message = field(3, field(1, 0) + field(3, b"first") + field(3, b"last"))
    assert deaggregate(sealed(message)) == [b"last"]


def test_a_key_that_is_not_in_the_table_costs_no_record() -> None:
    assert deaggregate(sealed(field(3, field(1, 7) + field(3, b"{}")))) == [b"{}"]


@given(USER_RECORDS.filter(bool))
def test_what_is_put_in_comes_out_in_the_same_order(records: list[tuple[str, bytes]]) -> None:
    assert deaggregate(aggregate(records)) == [data for _, data in records]


@given(USER_RECORDS, st.binary(max_size=100))
@example([], b"")
def test_what_follows_whole_records_never_takes_one_away(
    records: list[tuple[str, bytes]], more: bytes
) -> None:
    message = aggregate(records)[len(MAGIC) : -16] + more
    found = deaggregate(sealed(message))
    assert found is None or found[: len(records)] == [data for _, data in records]


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise(data: bytes) -> None:
    for attempt in (data, MAGIC + data, sealed(data)):
        deaggregate(attempt)


def test_the_digest_covers_the_message_alone() -> None:
    message = field(3, field(1, 0) + field(3, b"{}"))
    with_magic = hashlib.md5(MAGIC + message, usedforsecurity=False).digest()
    assert deaggregate(MAGIC + message + with_magic) is None
