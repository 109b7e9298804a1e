import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import lenient_json

DECODER = msgspec.json.Decoder(Any)

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


def decode(document: bytes) -> object:
    return lenient_json.decode(DECODER, document)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (rb'{"a": "x\ud83d"}', {"a": "x\ufffd"}),
        (rb'{"a": "\ude00\ud83d\ude00"}', {"a": "\ufffd\U0001f600"}),
        (rb'{"a": "\ud83d\ud83d\ude00"}', {"a": "\ufffd\U0001f600"}),
        (rb'{"a": "\\ud83d"}', {"a": "\\ud83d"}),
        (rb'["\ud83d"]', ["\ufffd"]),
        (rb'["\ud83dxyz"]', ["\ufffdxyz"]),
        (rb'{"a": [{"b": "\ud83d"}]}', {"a": [{"b": "\ufffd"}]}),
        (b'{"a": "\xe2\x82"}', {"a": "\ufffd"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1e999, "b": -1e999}', {"a": 1.7976931348623157e308, "b": -1.7976931348623157e308}),
        (rb'{"a": "1e999\ud83d"}', {"a": "1e999\ufffd"}),
    ],
)
def test_what_aws_can_produce_is_repaired(document: bytes, value: object) -> None:
    assert decode(document) == value


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b'{"a": 1', b'{"a": "x', b"[1,]", b"nul", b'{"a" 1}', b'"a" "b"', b"\xff"],
)
def test_what_is_not_json_is_still_refused(document: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(document)


def test_a_nesting_too_deep_is_refused_as_such() -> None:
    with pytest.raises(RecursionError):
        decode(b"[" * 100_000)


@given(json_values)
def test_repair_leaves_valid_json_as_it_is(value: object) -> None:
    document = json.dumps(value, ensure_ascii=True).encode()
    assert lenient_json.repair(document) == document


@given(st.text(st.characters(codec=None), max_size=20))
def test_any_string_python_can_hold_is_read_once_repaired(text: str) -> None:
    value = decode(json.dumps([text]).encode())
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert isinstance(value, list)
    assert len(value[0]) <= len(expected) + 2
    assert [c for c in value[0] if c != "\ufffd"] == [c for c in expected if c != "\ufffd"]
