"""A CloudTrail log file: `{"Records": [...]}`, gzip as a rule.

Digest and Insights files lie beside log files and come by the same ways; they hold no events for
rules. Source: AWS CloudTrail User Guide, "CloudTrail log file examples", "CloudTrail digest file
structure", "Finding your CloudTrail log files".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, NamedTuple

import msgspec

from detector import lenient_json
from detector.envelopes.types import JSON, Skipped, T
from detector.errors import PayloadError

STREAM_ORIGIN = "kinesis:"
"""What the origins of a stream's records begin with."""

_SIBLING = re.compile(r"(?:^|[/_])CloudTrail-(Digest|Insight|Aggregated)(?:[/_]|$)")
_ACCOUNT = r"[0-9]{12}"
_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}"
_TRAIL = re.compile(rf"({_ACCOUNT})/({_REGION})")
_TRAIL_IN_NAME = re.compile(
    rf"(?:^|/)({_ACCOUNT})_CloudTrail_({_REGION})_[0-9]{{8}}T[0-9]{{4}}Z_\w+\.json(?:\.gz)?\Z"
)
_DELIVERY_TIME = re.compile(r"_CloudTrail_[\w-]+?_(\d{8}T\d{4}Z)_\w+\.json(?:\.gz)?$")


class Trail(NamedTuple):
    """What CloudTrail writes log files of: an account in a region, by whichever trail it is."""

    account: str
    region: str


def trail(account: str, region: str) -> Trail | None:
    """Return the trail of an account and a region; None where they cannot be real ones."""
    return Trail(account, region) if _TRAIL.fullmatch(f"{account}/{region}") else None


def trail_of(name: str) -> Trail | None:
    """Return whose log file a name or key is that of; None for digest files and other names."""
    match = _TRAIL_IN_NAME.search(name)
    return Trail(*match.groups()) if match else None


def skipped_by_name(name: str) -> Skipped | None:
    """Return why a file of this name or key holds no events for rules, or None.

    A record of a stream has no such name: what the stream is called says nothing of what is in it.
    """
    if name.startswith(STREAM_ORIGIN):
        return None
    sibling = _SIBLING.search(name)
    return Skipped(sibling.group(1).lower()) if sibling else None


def delivery_time(name: str) -> float | None:
    """Return when CloudTrail delivered a log file, from its name: seconds, to the minute."""
    match = _DELIVERY_TIME.search(name)
    if match is None:
        return None
    try:
        return datetime.fromisoformat(match.group(1)).timestamp()
    except ValueError:
        return None


class LogFile:
    """One log file's JSON document; a `RecordBatch`."""

    def __init__(self, document: JSON) -> None:
        self.document = document

    def decode(self, record_type: type[T]) -> Sequence[T | object]:
        """Return the records, decoded to `record_type` where they are JSON objects.

        Raises:
            PayloadError: `malformed_json`, `too_deep`, or `not_a_log_file`.
        """
        return self._records(_decoder(record_type))

    def raw(self) -> Sequence[msgspec.Raw]:
        """Return each record's bytes, in the order of `decode`."""
        return self._records(_RAW)

    def _records(self, decoder: msgspec.json.Decoder[Any]) -> Sequence[Any]:
        try:
            return lenient_json.decode(decoder, self.document).Records  # type: ignore[no-any-return]
        except msgspec.ValidationError as error:
            raise PayloadError("not_a_log_file", f"not a CloudTrail log file: {error}") from error
        except msgspec.DecodeError as error:
            raise PayloadError("malformed_json", f"the document is not JSON: {error}") from error
        except RecursionError as error:
            raise PayloadError("too_deep", "the document is nested too deeply") from error


class _Records(msgspec.Struct, Generic[T]):
    Records: list[T | list[Any] | str | int | float | bool | None]


class _RawRecords(msgspec.Struct):
    Records: list[msgspec.Raw]


_RAW = msgspec.json.Decoder(_RawRecords)


@lru_cache(maxsize=16)
def _decoder(record_type: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_Records[record_type])  # type: ignore[valid-type]
