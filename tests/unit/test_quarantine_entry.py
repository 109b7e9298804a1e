import base64
import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import QuarantineError
from detector.quarantine.entry import (
    MAX_HEAD_BYTES,
    Entry,
    body_of,
    document_of,
    entry_of,
    id_of_name,
    is_id,
    kept_at_of,
    payload_of,
    read_entry,
    read_head,
)
from detector.quarantine.keeping import MAX_MESSAGE_CHARACTERS, MAX_ORIGIN_CHARACTERS
from detector.state.store import Quarantined
from tests.records import NOON

ITEM = Quarantined("logs", "a.json", None, "truncated", b"\x1f\x8b", "it ends", NOON, kept_at=NOON)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
hostile = st.sampled_from(
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "a\0b",
        "\x1b[2J",
        "x" * 5_000,
        "\u2028",
        'a","body":"b',
    ]
)
bodies = st.binary(max_size=60) | texts.map(str.encode) | st.sampled_from([b"\0" * 99, b'"' * 99])
items = st.builds(
    Quarantined,
    source=texts,
    origin=texts | hostile,
    index=st.none() | st.integers(0, 2**40),
    reason=st.sampled_from(["truncated", "no_event_time"]),
    body=bodies,
    message=texts | hostile,
    delivered_at=st.none() | st.integers(0, 2**33).map(float),
    is_complete=st.booleans(),
    kept_at=st.floats(0, 2**33),
)


@given(items)
def test_what_is_kept_comes_back_byte_for_byte(item: Quarantined) -> None:
    entry = read_entry(document_of(entry_of(item)))
    assert body_of(entry) == item.body
    if item.is_complete:
        again = payload_of(entry).again
        assert again == item
        assert payload_of(entry).delivered_at == item.delivered_at


@given(items)
def test_the_head_is_read_without_the_body(item: Quarantined) -> None:
    document = document_of(entry_of(item))
    head = read_head(document[:MAX_HEAD_BYTES])
    fields = msgspec.to_builtins(read_entry(document))
    del fields["body"]
    assert msgspec.to_builtins(head) == fields
    assert "body" not in head.__struct_fields__


@given(items)
def test_an_id_is_safe_as_a_name_whatever_the_origin(item: Quarantined) -> None:
    entry = entry_of(item)
    assert re.fullmatch(r"[0-9T.Z]+-[0-9a-f]{32}", entry.id)
    assert id_of_name(f"{entry.id}.json") == entry.id


@given(items, items)
def test_an_id_is_the_same_for_the_same_entry_and_for_no_other(
    one: Quarantined, other: Quarantined
) -> None:
    other = replace(other, kept_at=one.kept_at)
    assert entry_of(one).id == entry_of(replace(one, reason="other", message="x")).id
    same = (one.source, one.origin, one.index, one.body, one.is_complete) == (
        other.source,
        other.origin,
        other.index,
        other.body,
        other.is_complete,
    )
    assert (entry_of(one).id == entry_of(other).id) is same


@given(st.lists(st.floats(0, 2**37, allow_nan=False), min_size=2, max_size=5))
def test_ids_sort_by_age_and_tell_it(times: list[float]) -> None:
    ids = [entry_of(replace(ITEM, kept_at=time)).id for time in sorted(times)]
    moments = [kept_at_of(entry_id) for entry_id in ids]
    assert moments == sorted(moments)
    assert [entry_id[:19] for entry_id in ids] == sorted(entry_id[:19] for entry_id in ids)
    for moment, time in zip(moments, sorted(times), strict=True):
        assert abs(moment - time) < 0.002


@given(bodies)
def test_a_document_is_never_much_longer_than_base64_would_be(body: bytes) -> None:
    empty = len(document_of(entry_of(replace(ITEM, body=b""))))
    longer = len(document_of(entry_of(replace(ITEM, body=body))))
    assert longer <= empty + len(base64.b64encode(body)) + 20


def test_text_is_kept_as_text_and_other_bytes_as_base64() -> None:
    text, other = (entry_of(replace(ITEM, body=body)) for body in (b'{"a": 1}', b"\x1f\x8b\xff"))
    assert (text.encoding, text.body) == ("utf-8", '{"a": 1}')
    assert (other.encoding, other.body) == ("base64", "H4v/")


def test_the_longest_head_is_read_in_whole() -> None:
    worst = replace(
        ITEM,
        source="s" * 63,
        origin="\0" * MAX_ORIGIN_CHARACTERS,
        message="\U0001f600" * MAX_MESSAGE_CHARACTERS,
    )
    document = document_of(entry_of(replace(worst, body=b"x" * MAX_HEAD_BYTES)))
    assert document.index(b',"body":') < MAX_HEAD_BYTES
    assert read_head(document[:MAX_HEAD_BYTES]).origin == worst.origin


def test_a_record_is_handed_on_as_it_was_kept_and_so_is_a_payload() -> None:
    record = b'{"eventName": "x"}'
    assert payload_of(entry_of(replace(ITEM, index=7, body=record))).body == record
    assert payload_of(entry_of(ITEM)).body == ITEM.body


def test_what_was_cut_cannot_be_replayed() -> None:
    with pytest.raises(QuarantineError, match="only a part of its body was kept"):
        payload_of(entry_of(replace(ITEM, is_complete=False)))


def changed(**fields: object) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(entry_of(ITEM)), **fields})


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "not an entry"),
        (b"[]", "not an entry"),
        (b"[" * 5_000, "not an entry"),
        (document_of(entry_of(ITEM))[:-9], "not an entry"),
        (changed(id="../x"), "its id is none"),
        (changed(bytes=7), "has not the 7 bytes"),
        (changed(body="x"), "not base64"),
        (changed(body="äöü="), "not base64"),
        (changed(index="1"), "not an entry"),
        (changed(encoding="utf-16"), "not an entry"),
    ],
)
def test_a_document_that_somebody_has_changed_is_an_error(document: bytes, says: str) -> None:
    with pytest.raises(QuarantineError, match=says):
        read_entry(document)


@given(st.binary(max_size=99))
def test_any_bytes_at_all_are_an_entry_or_an_error(document: bytes) -> None:
    for read in (read_entry, read_head):
        with pytest.raises(QuarantineError):
            read(document)


@pytest.mark.parametrize("name", ["../x.json", "x.json", ".json", "", ".20261124T123022.000Z-"])
def test_other_names_are_no_entries(name: str) -> None:
    assert id_of_name(name) is None
    assert not is_id(name)


def test_a_time_that_no_calendar_has_becomes_the_nearest() -> None:
    for time, year in ((-1.0, "1970"), (1e15, "9999")):
        assert entry_of(replace(ITEM, kept_at=time, delivered_at=time)).id.startswith(year)


def test_the_document_is_what_the_readme_says() -> None:
    assert list(msgspec.json.decode(document_of(entry_of(ITEM)))) == [
        *("id", "source", "origin", "index", "reason", "message", "kept_at", "delivered_at"),
        *("complete", "bytes", "encoding", "body"),
    ]
    assert isinstance(entry_of(ITEM), Entry)
