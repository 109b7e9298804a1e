"""Avro object container files, made for tests by another library than the code under test."""

from __future__ import annotations

import io
from typing import Any

import fastavro

Schema = Any

OPTIONAL_TEXT = ["null", "string"]
USER_IDENTITY = {
    "type": "record",
    "name": "UserIdentity",
    "fields": [
        {"name": name, "type": OPTIONAL_TEXT, "default": None}
        for name in ("type", "arn", "accountId", "userName", "invokedBy")
    ],
}
RECORD: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "namespace": "trail",
    "fields": [
        {"name": "eventVersion", "type": OPTIONAL_TEXT, "default": None},
        {"name": "userIdentity", "type": ["null", USER_IDENTITY], "default": None},
        {"name": "eventTime", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        *(
            {"name": name, "type": "string"}
            for name in ("eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent")
        ),
        {"name": "errorCode", "type": OPTIONAL_TEXT},
        {"name": "requestParameters", "type": OPTIONAL_TEXT},
        {"name": "responseElements", "type": OPTIONAL_TEXT},
        {"name": "eventID", "type": "string"},
        {"name": "readOnly", "type": ["null", "boolean"]},
        {"name": "eventType", "type": "string"},
        {"name": "managementEvent", "type": ["boolean", "null"]},
        {"name": "recipientAccountId", "type": "string"},
    ],
}
"""A CloudTrail record as converters flatten it: what differs from call to call is JSON text."""

DOCUMENT: Schema = {
    "type": "record",
    "name": "LogFile",
    "fields": [{"name": "Records", "type": {"type": "array", "items": RECORD}}],
}


def avro(schema: Schema, *datums: Any, codec: str = "null", **options: Any) -> bytes:
    """Return a container file of some datums."""
    file = io.BytesIO()
    fastavro.writer(file, schema, datums, codec=codec, **options)
    return file.getvalue()


def long(number: int) -> bytes:
    """Return a number in Avro's encoding."""
    left = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*encoded, left])


def text(data: bytes) -> bytes:
    """Return bytes, or a string, in Avro's encoding."""
    return long(len(data)) + data


def container(
    schema: bytes, *blocks: tuple[int, bytes], codec: bytes = b"null", sync: bytes = bytes(16)
) -> bytes:
    """Return a file of blocks that may claim anything: how many datums, and their bytes."""
    metadata = text(b"avro.schema") + text(schema) + text(b"avro.codec") + text(codec)
    header = b"Obj\x01" + long(2) + metadata + long(0) + sync
    return header + b"".join(long(count) + text(data) + sync for count, data in blocks)
