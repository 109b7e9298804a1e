"""Any bytes are an Avro container file, of which each datum comes out as JSON, or are refused."""

from __future__ import annotations

import io
import json

from tests.fuzz.running import fuzz, instrumented

with instrumented():
    from detector.envelopes.avro import open_avro
    from detector.errors import PayloadError
    from tests.avro_files import DOCUMENT, RECORD, avro, container, long, text

REASONS = {
    *("malformed_avro", "truncated", "too_large", "too_many_values", "too_deep"),
    "unsupported_codec",
}
MAX_BYTES = 1 << 16
MAX_VALUES = 1 << 10
MAX_GROWTH = 8
"""By how much JSON may be longer than what is counted: \\u0000 for a byte, and a comma each."""

EVENT = {field["name"]: "x" for field in RECORD["fields"]} | {
    "userIdentity": {"type": "Root", "arn": None},
    "eventTime": 0,
    "readOnly": True,
    "managementEvent": None,
    "requestParameters": '{"a": [1]}',
}
NODE = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}
LOGICAL = {
    "type": "record",
    "name": "L",
    "fields": [
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}},
        {"name": "t", "type": {"type": "int", "logicalType": "date"}},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "m", "type": {"type": "map", "values": "double"}},
    ],
}
SEEDS = (
    b"",
    b"Obj\x01",
    *(avro(RECORD, EVENT, EVENT, codec=codec) for codec in ("null", "deflate", "bzip2", "xz")),
    avro(DOCUMENT, {"Records": [EVENT, EVENT]}),
    avro(["null", "string"], '{"Records": []}', None),
    avro(NODE, {"next": {"next": {"next": None}}}),
    container(json.dumps(LOGICAL).encode(), (1, text(b"\x01") + long(9) + long(1) + b"ab\0")),
    container(b'{"type": "array", "items": "null"}', (1, long(9) + long(0))),
)
WORDS = (
    *("Obj\x01", "avro.schema", "avro.codec", "null", "deflate", "bzip2", "xz", "snappy"),
    *('{"type": "', '"record"', '"name": "R"', '"fields": [', '"array"', '"items": ', '"map"'),
    *('"values": ', '"enum"', '"symbols": ', '"fixed"', '"size": ', '"logicalType": "', "decimal"),
    *("timestamp-millis", "date", "uuid", '"scale": ', '"long"', '"string"', '"bytes"', '["null",'),
)


def check(data: bytes) -> None:
    """Read a file, and look at what comes out."""
    length = 0
    try:
        for body in open_avro(
            io.BytesIO(data),
            max_bytes=MAX_BYTES,
            max_block_bytes=MAX_BYTES,
            max_values=MAX_VALUES,
        ):
            length += 1
            assert length <= MAX_BYTES
            assert len(body) <= MAX_GROWTH * 2 * MAX_BYTES + 32 * MAX_VALUES
    except PayloadError as error:
        assert error.message
        assert error.reason in REASONS


if __name__ == "__main__":
    fuzz(check, seeds=SEEDS, words=WORDS, max_bytes=4096)
