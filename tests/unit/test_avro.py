"""Avro object container files: what another library writes comes out as CloudTrail's JSON."""

import base64
import bz2
import io
import json
import lzma
import tracemalloc
import zlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.envelopes.avro import is_avro, open_avro
from detector.errors import PayloadError
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from tests.avro_files import DOCUMENT, RECORD, avro, container, long, text
from tests.records import record

CODECS = ("null", "deflate", "bzip2", "xz")
MOMENT = datetime(2026, 9, 16, 12, 0, tzinfo=UTC)
REASONS = {
    *("malformed_avro", "truncated", "too_large", "too_many_values", "too_deep"),
    "unsupported_codec",
}


def bodies(file: bytes, **caps: int) -> list[bytes]:
    return list(open_avro(io.BytesIO(file), **caps))


def read(file: bytes, **caps: int) -> list[Any]:
    return [json.loads(body) for body in bodies(file, **caps)]


def until_refused(file: bytes, **caps: int) -> tuple[list[bytes], str]:
    """Return what comes out of a file before it is refused, and the reason."""
    found: list[bytes] = []
    with pytest.raises(PayloadError) as caught:
        found.extend(open_avro(io.BytesIO(file), **caps))  # keeps what came before an error
    assert caught.value.reason in REASONS
    return found, caught.value.reason


def refused(file: bytes, **caps: int) -> str:
    return until_refused(file, **caps)[1]


def one(type_: Any, value: Any) -> Any:
    """Return a value as it comes out of the only field of a record."""
    schema = {"type": "record", "name": "One", "fields": [{"name": "field", "type": type_}]}
    ((item),) = read(avro(schema, {"field": value}))
    return item.get("field", "missing")


def flat(event: dict[str, Any]) -> dict[str, Any]:
    """Return a record as converters flatten it: all fields, and JSON text in some of them."""
    values = {str(field["name"]): event.get(field["name"]) for field in RECORD["fields"]}
    values["eventTime"] = datetime.fromisoformat(event["eventTime"])
    for name in ("requestParameters", "responseElements"):
        values[name] = None if values[name] is None else json.dumps(values[name])
    return values


def test_an_avro_file_is_told_by_its_first_bytes() -> None:
    assert is_avro(avro("string", "x"))
    assert not is_avro(b"Obj")
    assert not is_avro(b'{"Records": []}')


@pytest.mark.parametrize("codec", CODECS)
def test_records_come_out_as_cloudtrail_writes_them(codec: str) -> None:
    events = [record(), record("ConsoleLogin", requestParameters=None), record(errorCode="Denied")]
    file = avro(RECORD, *map(flat, events), codec=codec, sync_interval=1)
    assert read(file) == events


@pytest.mark.parametrize("codec", CODECS)
def test_documents_come_out_as_log_files(codec: str) -> None:
    documents: list[dict[str, Any]] = [{"Records": [record(), record()]}, {"Records": []}]
    datums = [{"Records": [flat(event) for event in item["Records"]]} for item in documents]
    assert read(avro(DOCUMENT, *datums, codec=codec)) == documents


@pytest.mark.parametrize("type_", ["string", "bytes", ["null", "string"], {"type": "bytes"}])
def test_texts_come_out_as_they_are(type_: Any) -> None:
    is_text = "string" in type_
    datums = ['{"Records": [ ]}', "{}", "no JSON é", ""]
    file = avro(type_, *(item if is_text else item.encode() for item in datums), codec="deflate")
    assert bodies(file) == [item.encode() for item in datums]


def test_bytes_of_any_kind_come_out_as_they_are() -> None:
    assert bodies(avro("bytes", b"\x1f\x8b\xff", b"Obj\x01")) == [b"\x1f\x8b\xff", b"Obj\x01"]


def test_a_map_is_an_event_too() -> None:
    schema = {"type": "map", "values": ["null", "string", "boolean"]}
    event = {"eventName": "PutUserPolicy", "readOnly": False, "errorCode": None}
    file = avro(schema, {**event, "requestParameters": '{"userName": "bob"}'})
    assert read(file) == [{**event, "requestParameters": {"userName": "bob"}}]


def test_an_array_of_records_comes_out_as_one() -> None:
    event = record()
    assert read(avro({"type": "array", "items": RECORD}, [flat(event)])) == [[event]]


def test_the_root_user_is_found_in_a_schema_that_must_declare_invoked_by() -> None:
    identity = {"type": "Root", "arn": "arn:aws:iam::111122223333:root"}
    event = record("CreateUser", userIdentity=identity)
    (body,) = bodies(avro(RECORD, flat(event)))
    rules = RuleSet.load(shipped_rules() / "cis" / "root_account_usage.yml")
    assert rules.match(json.loads(body)) == rules.match(event) == list(rules.rules)


def test_a_null_in_a_field_is_a_missing_field_but_where_cloudtrail_writes_nulls() -> None:
    types = {
        "requestParameters": ["null", "string"],
        "responseElements": ["string", "null"],
        "errorCode": ["null", "string"],
        "nothing": "null",
        "inner": {
            "type": "record",
            "name": "Inner",
            "fields": [{"name": "requestParameters", "type": ["null", "string"]}],
        },
        "array": {"type": "array", "items": ["null", "string"]},
        "map": {"type": "map", "values": ["null", "string"]},
    }
    fields = [{"name": name, "type": type_} for name, type_ in types.items()]
    values = {
        "inner": {"requestParameters": None},
        "array": ["x", None],
        "map": {"errorCode": None},
        "requestParameters": None,
        "responseElements": None,
    }
    (event,) = read(avro({"type": "record", "name": "E", "fields": fields}, values))
    assert event == {**values, "inner": {}}


@pytest.mark.parametrize("name", ["userIdentity", "requestParameters", "resources"])
@pytest.mark.parametrize("type_", ["string", "bytes", ["null", "string"]])
def test_the_text_of_an_object_or_array_is_taken_as_that(name: str, type_: Any) -> None:
    schema = {"type": "record", "name": "E", "fields": [{"name": name, "type": type_}]}
    texts = {
        '{"a": [1, {"b": "}"}]}': {"a": [1, {"b": "}"}]},
        ' \n["x"] ': ["x"],
        '{"cut": "\\ud83d"}': {"cut": "\ufffd"},
        "{not JSON}": "{not JSON}",
        '{"a": 1} trailing': '{"a": 1} trailing',
        '"text"': '"text"',
        "17": "17",
        "": "",
        "[" * 100_000: "[" * 100_000,
    }
    for spelling, meaning in texts.items():
        value = spelling.encode() if type_ == "bytes" else spelling
        (event,) = read(avro(schema, {name: value}))
        assert event == {name: meaning}


def test_the_text_of_a_null_is_a_null() -> None:
    (event,) = read(avro(RECORD, {**flat(record()), "requestParameters": "null"}))
    assert event["requestParameters"] is None


def test_texts_elsewhere_stay_texts() -> None:
    assert one("string", '{"Version": "2012-10-17"}') == '{"Version": "2012-10-17"}'
    policy = {"policyDocument": '{"Statement": []}', "resources": "[1]"}
    parameters = {
        "type": "record",
        "name": "Parameters",
        "fields": [{"name": name, "type": "string"} for name in policy],
    }
    for type_ in (parameters, {"type": "map", "values": "string"}):
        fields = [{"name": "requestParameters", "type": type_}]
        schema = {"type": "record", "name": "E", "fields": fields}
        assert read(avro(schema, {"requestParameters": policy})) == [{"requestParameters": policy}]


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, MOMENT, "2026-09-16T12:00:00Z"),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            MOMENT.replace(microsecond=120_000),
            "2026-09-16T12:00:00.12Z",
        ),
        (
            {"type": "long", "logicalType": "local-timestamp-millis"},
            MOMENT.replace(tzinfo=None),
            "2026-09-16T12:00:00Z",
        ),
        ({"type": "long", "logicalType": "timestamp-nanos"}, 1, "1970-01-01T00:00:00.000000001Z"),
        ({"type": "long", "logicalType": "timestamp-millis"}, -1, "1969-12-31T23:59:59.999Z"),
        ({"type": "long", "logicalType": "timestamp-millis"}, 1 << 62, 1 << 62),
        ({"type": "int", "logicalType": "date"}, date(2026, 9, 16), "2026-09-16"),
        ({"type": "int", "logicalType": "date"}, -(1 << 31), -(1 << 31)),
        ({"type": "int", "logicalType": "time-millis"}, time(1, 2, 3), "01:02:03"),
        ({"type": "long", "logicalType": "time-micros"}, time(1, 2, 3, 4), "01:02:03.000004"),
        ({"type": "int", "logicalType": "time-millis"}, 86_400_000, 86_400_000),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            Decimal("-12.34"),
            -12.34,
        ),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5}, Decimal(17), 17),
        (
            {"type": "string", "logicalType": "uuid"},
            UUID(int=1),
            "00000000-0000-0000-0000-000000000001",
        ),
        ({"type": "string", "logicalType": "of our own"}, "x", "x"),
        ({"type": "enum", "name": "Enum", "symbols": ["A", "B"]}, "B", "B"),
        ({"type": "fixed", "name": "Fixed", "size": 3}, b"abc", "abc"),
        ("bytes", b"text \xc3\xa9", "text é"),
        ("bytes", b"\xff\x00", base64.b64encode(b"\xff\x00").decode()),
        ("double", 1.5, 1.5),
        ("float", 0.25, 0.25),
        ("double", float("inf"), None),
        ("long", -(1 << 63), -(1 << 63)),
        (["null", "long", "string"], "x", "x"),
    ],
)
def test_values_come_out_as_json_can_say_them(type_: Any, value: Any, expected: Any) -> None:
    assert one(type_, value) == expected


def test_a_uuid_may_be_of_16_bytes() -> None:
    schema = {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}
    file = container(json.dumps(schema).encode(), (1, UUID(int=1).bytes))
    assert read(file) == ["00000000-0000-0000-0000-000000000001"]


def test_a_decimal_of_any_length_costs_no_more_than_its_bytes() -> None:
    schema = {"type": "bytes", "logicalType": "decimal", "precision": 10**6, "scale": 1}
    (value,) = read(container(json.dumps(schema).encode(), (1, text(b"\x01" * 100_000))))
    assert value == "\x01" * 100_000


def test_a_stray_byte_in_a_string_hides_nothing() -> None:
    schema = json.dumps({"type": "array", "items": "string"}).encode()
    assert read(container(schema, (1, long(1) + text(b"a\xff") + long(0)))) == [["a\ufffd"]]


def test_types_are_found_by_their_names() -> None:
    node = {
        "type": "record",
        "name": "Node",
        "namespace": "a.b",
        "fields": [
            {"name": "kind", "type": {"type": "enum", "name": "c.Kind", "symbols": ["X", "Y"]}},
            {"name": "other", "type": "c.Kind"},
            {"name": "next", "type": ["null", "Node"]},
            {"name": "full", "type": ["null", "a.b.Node"]},
        ],
    }
    leaf = {"kind": "X", "other": "Y", "next": None, "full": None}
    datum = {**leaf, "next": leaf, "full": leaf}
    short = {"kind": "X", "other": "Y"}
    assert read(avro(node, datum)) == [{**short, "next": short, "full": short}]


def test_arrays_and_maps_may_come_in_blocks_that_tell_their_size() -> None:
    schema = b'{"type": "array", "items": "long"}'
    block = long(-2) + long(2) + long(1) + long(2)
    assert read(container(schema, (1, block + long(1) + long(3) + long(0)))) == [[1, 2, 3]]
    schema = b'{"type": "map", "values": "long"}'
    assert read(container(schema, (1, long(-1) + long(3) + text(b"a") + long(1) + long(0)))) == [
        {"a": 1}
    ]


def test_a_default_that_does_not_fit_its_type_is_no_reason_to_refuse_a_file() -> None:
    field = {"name": "a", "type": ["string", "null"], "default": None}
    schema = json.dumps({"type": "record", "name": "R", "fields": [field]}).encode()
    assert read(container(schema, (1, long(1)))) == [{}]


Made = tuple[Any, st.SearchStrategy[Any]]


@st.composite
def schemas(draw: st.DrawFn) -> Made:
    """Return a schema, and what its datums can be."""
    numbers = iter(range(1000))
    plain: list[Made] = [
        ("null", st.none()),
        ("boolean", st.booleans()),
        ("long", st.integers(-(1 << 63), (1 << 63) - 1)),
        ("double", st.floats(allow_nan=False, allow_infinity=False)),
        ("string", st.text(max_size=20)),
    ]

    def tree(depth: int) -> Made:
        kind = draw(st.integers(0, 4 if depth else 0))
        if kind == 0:
            leaf: Made = draw(st.sampled_from(plain))
            return leaf
        if kind == 1:
            items, values = tree(depth - 1)
            return {"type": "array", "items": items}, st.lists(values, max_size=4)
        if kind == 2:
            items, values = tree(depth - 1)
            names = st.text(max_size=5)
            return {"type": "map", "values": items}, st.dictionaries(names, values, max_size=4)
        if kind == 3:
            item, values = draw(st.sampled_from(plain[1:]))
            return ["null", item], st.none() | values
        parts = {f"f{index}": tree(depth - 1) for index in range(draw(st.integers(0, 4)))}
        fields = [{"name": name, "type": part[0]} for name, part in parts.items()]
        schema = {"type": "record", "name": f"R{next(numbers)}", "fields": fields}
        return schema, st.fixed_dictionaries({name: part[1] for name, part in parts.items()})

    fields = {f"f{index}": tree(3) for index in range(draw(st.integers(0, 3)))}
    fields["long"] = plain[2]  # a datum has bytes
    schema = {
        "type": "record",
        "name": "Top",
        "fields": [{"name": name, "type": part[0]} for name, part in fields.items()],
    }
    return schema, st.fixed_dictionaries({name: part[1] for name, part in fields.items()})


def expected(schema: Any, value: Any) -> Any:
    """Return what should come out: the same, without the fields of records that are null."""
    if isinstance(schema, list):
        return None if value is None else expected(schema[1], value)
    match schema:
        case {"type": "array", "items": items}:
            return [expected(items, item) for item in value]
        case {"type": "map", "values": values}:
            return {name: expected(values, item) for name, item in value.items()}
        case {"type": "record", "fields": fields}:
            parts = {item["name"]: expected(item["type"], value[item["name"]]) for item in fields}
            return {name: part for name, part in parts.items() if part is not None}
    return value


@given(schemas(), st.data(), st.sampled_from(CODECS), st.integers(1, 200))
def test_what_another_library_writes_by_any_schema_is_read(
    made: Made, data: st.DataObject, codec: str, interval: int
) -> None:
    schema, values = made
    datums = data.draw(st.lists(values, max_size=5))
    file = avro(schema, *datums, codec=codec, sync_interval=interval)
    assert read(file) == [expected(schema, datum) for datum in datums]


EVENTS = [flat(record()) for _ in range(6)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("interval", [1, 1 << 20])
def test_a_file_that_ends_anywhere_gives_what_came_before(codec: str, interval: int) -> None:
    whole = avro(RECORD, *EVENTS, codec=codec, sync_interval=interval)
    every = bodies(whole)
    ends = []
    for length in range(4, len(whole), 7 if codec in {"null", "deflate"} else 31):
        try:
            found = bodies(whole[:length])
        except PayloadError:
            found, reason = until_refused(whole[:length])
            assert reason == "truncated"
        assert found == every[: len(found)]
        ends.append(len(found))
    assert ends == sorted(ends)
    if interval == 1 or codec in {"null", "deflate"}:
        assert len(set(ends)) >= 5  # as much came out as was there
    assert until_refused(whole[:-1]) == (every, "truncated")


@given(
    st.sampled_from([avro(RECORD, *EVENTS, codec=codec, sync_interval=900) for codec in CODECS]),
    st.data(),
)
def test_damage_anywhere_is_refused_with_a_reason_or_gives_json(
    file: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(file) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=12))
    try:
        for body in open_avro(io.BytesIO(damaged)):
            json.loads(body)
    except PayloadError as error:
        assert error.reason in REASONS


@given(st.binary(max_size=200), st.sampled_from([*CODECS, "snappy"]), st.integers(-2, 1 << 62))
def test_a_block_of_any_bytes_is_refused_with_a_reason_or_gives_json(
    block: bytes, codec: str, count: int
) -> None:
    schema = json.dumps(RECORD).encode()
    try:
        bodies(container(schema, (count, block), codec=codec.encode()))
    except PayloadError as error:
        assert error.reason in REASONS


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from(
            [
                "null",
                "long",
                "string",
                "record",
                "array",
                "map",
                "enum",
                "fixed",
                "R",
                "union",
                "a.R",
            ]
        ),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "name",
                        "fields",
                        "items",
                        "values",
                        "symbols",
                        "size",
                        "namespace",
                        "logicalType",
                        "scale",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=15,
    ),
    st.binary(max_size=20),
)
def test_any_json_is_a_schema_or_refused(schema: Any, block: bytes) -> None:
    try:
        bodies(container(json.dumps(schema).encode(), (1, block)))
    except PayloadError as error:
        assert error.reason in REASONS


def test_a_wrong_sync_marker_is_refused() -> None:
    file = bytearray(avro(RECORD, *EVENTS, sync_interval=1))
    file[-1] ^= 1
    found, reason = until_refused(bytes(file))
    assert (len(found), reason) == (5, "malformed_avro")


def test_bytes_after_the_last_datum_of_a_block_are_refused() -> None:
    assert until_refused(container(b'"long"', (1, long(1) + long(2)))) == ([b"1"], "malformed_avro")


def test_a_block_that_ends_in_the_middle_of_a_datum_is_refused() -> None:
    assert refused(container(b'"string"', (1, long(5) + b"abc"))) == "malformed_avro"


@pytest.mark.parametrize("codec", ["snappy", "zstandard", "lz4", "x" * 1000])
def test_another_codec_is_refused_by_its_name(codec: str) -> None:
    with pytest.raises(PayloadError, match=codec[:40]) as caught:
        bodies(container(b'"string"', codec=codec.encode()))
    assert caught.value.reason == "unsupported_codec"
    assert len(caught.value.message) < 200


PACKERS = {
    "deflate": lambda data: zlib.compress(data, 9, -15),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("codec", PACKERS)
def test_a_bomb_is_refused_before_it_is_inflated(codec: str) -> None:
    bomb = PACKERS[codec](bytes(64 << 20))
    file = container(b'"bytes"', (1, bomb), codec=codec.encode())
    tracemalloc.start()
    try:
        assert refused(file, max_block_bytes=1 << 20) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_many_small_bombs_are_refused_together() -> None:
    block = zlib.compress(text(bytes(1 << 16)), 9, -15)
    file = container(b'"bytes"', *[(1, block)] * 20, codec=b"deflate")
    found, reason = until_refused(file, max_bytes=10 << 16)
    assert (len(found), reason) == (9, "too_large")


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, (1 << 63) - 1])
def test_a_block_that_claims_more_than_the_cap_is_not_waited_for(size: int) -> None:
    file = container(b'"bytes"') + long(1) + long(size) + b"few"
    assert refused(file, max_bytes=1 << 19) == "too_large"


def test_a_header_without_end_is_refused() -> None:
    head = b"Obj\x01"
    assert refused(head + long(1) + text(b"k") + long(1 << 40)) == "too_large"
    assert refused(head + long(1 << 60) + b"\0" * (3 << 20)) == "too_large"
    assert refused(container(b'"string"' + b" " * (1 << 20))) == "too_large"
    assert refused(head + b"\xff" * 20) == "malformed_avro"
    assert refused(head + long(1) + long(-1)) == "malformed_avro"
    assert refused(head) == "truncated"
    assert refused(b"") == "malformed_avro"


RECURSIVE = json.dumps(
    {"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}
).encode()
ENDLESS = json.dumps(
    {"type": "record", "name": "R", "fields": [{"name": "next", "type": "R"}]}
).encode()
NULLS = json.dumps(
    {
        "type": "record",
        "name": "R",
        "fields": [{"name": f"f{n}", "type": "null"} for n in range(99)],
    }
).encode()


@pytest.mark.parametrize(
    ("schema", "count", "block", "reason"),
    [
        (RECURSIVE, 1, long(1) * 1_000_000, "too_deep"),
        (ENDLESS, 1, b"x", "too_deep"),
        (b'"null"', 1 << 60, b"", "too_many_values"),
        (NULLS, 1 << 60, b"x" * 1000, "too_many_values"),
        (b'"null"', 1 << 60, b"x" * 1000, "too_many_values"),
        (b'"boolean"', 1 << 20, b"\0" * (1 << 20), "too_many_values"),
        (
            b'{"type": "array", "items": "null"}',
            900,
            (long(90_000) + b"\0") * 900,
            "too_many_values",
        ),
        (b'{"type": "array", "items": "null"}', 1, long(1 << 60) + long(0), "too_many_values"),
        (b'{"type": "array", "items": "null"}', 1, long(-(1 << 63)) + long(0), "too_many_values"),
        (b'{"type": "array", "items": "null"}', 1, long(1 << 18) * 100, "too_many_values"),
        (b'{"type": "map", "values": "null"}', 1, long(1 << 60), "too_many_values"),
        (b'{"type": "array", "items": %s}' % NULLS, 1, long(1 << 17), "too_many_values"),
        (b'["null"]', 1, long(1), "malformed_avro"),
        (b'["null"]', 1, long(-1), "malformed_avro"),
        (b'{"type": "enum", "name": "E", "symbols": ["A"]}', 1, long(-1), "malformed_avro"),
        (b'{"type": "fixed", "name": "F", "size": 1000000000000}', 1, b"x", "malformed_avro"),
        (b'"string"', 1, long(-1), "malformed_avro"),
        (b'"string"', 1, long(1 << 62), "malformed_avro"),
        (b'"long"', 1, b"\xff" * 9 + b"\x7f", "malformed_avro"),
        (b'"long"', 1, b"\xff" * 11, "malformed_avro"),
        (b'"long"', -1, b"", "malformed_avro"),
        (b'"R"', 1, b"", "malformed_avro"),
        (b"{", 1, b"", "malformed_avro"),
        (b"17", 1, b"", "malformed_avro"),
        (b'{"type": "record", "name": "R"}', 1, b"", "malformed_avro"),
        (b'{"type": "record", "fields": []}', 1, b"", "malformed_avro"),
        (b'{"type": "fixed", "name": "F", "size": -1}', 1, b"", "malformed_avro"),
        (b'{"type": "enum", "name": "E", "symbols": [1]}', 1, b"", "malformed_avro"),
        (b'{"type":' * 50_000 + b'"long"' + b"}" * 50_000, 1, b"", "too_deep"),
        (b"[" * 400_000, 1, b"", "too_deep"),
        (b'{"type":"array","items":' * 600 + b'"null"' + b"}" * 600, 1, long(1) * 600, "too_deep"),
    ],
)
def test_what_is_made_to_harm_is_refused(
    schema: bytes, count: int, block: bytes, reason: str
) -> None:
    file = container(schema, (count, block))
    assert refused(file, max_values=100_000, max_bytes=32 << 20) == reason


def test_names_and_symbols_that_are_much_longer_than_their_data_are_refused() -> None:
    name = "n" * 500_000
    fields = [{"name": name, "type": ["null", "long"]}]
    schema = {"type": "array", "items": {"type": "record", "name": "R", "fields": fields}}
    assert refused(container(json.dumps(schema).encode(), (1, long(10_000)))) == "malformed_avro"
    assert (
        refused(container(json.dumps(schema).encode(), (1, long(10_000) + b"\0" * 10_000)))
        == "too_large"
    )
    schema = {"type": "array", "items": {"type": "enum", "name": "E", "symbols": [name]}}
    assert (
        refused(container(json.dumps(schema).encode(), (1, long(10_000) + b"\0" * 10_000)))
        == "too_large"
    )


def test_the_values_of_a_text_that_is_taken_as_an_object_count() -> None:
    schema = json.dumps(
        {"type": "record", "name": "E", "fields": [{"name": "requestParameters", "type": "string"}]}
    ).encode()
    body = b"[" + b"[]," * 1000 + b"[]]"
    assert refused(container(schema, (1, text(body))), max_values=1000) == "too_many_values"


class Sip:
    """A file that gives a byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, 1))


def test_a_file_may_give_less_than_it_is_asked_for() -> None:
    file = avro(RECORD, *EVENTS, codec="deflate")
    assert list(open_avro(Sip(file))) == bodies(file)
