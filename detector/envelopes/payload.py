"""A payload opened: gzip, aggregates, containers and envelopes within envelopes, down to records.

Everything is told by its content. What is understood is handed on in its order, and what is not is
handed on as that: nothing that a payload holds is left out in silence. Memory is bounded by a
window on the content, not by its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from detector.envelopes.avro import is_avro, open_avro
from detector.envelopes.cloudtrail_notification import VALIDATION_MESSAGE
from detector.envelopes.compression import Inflated, Reader, inflate_small
from detector.envelopes.document import Content as DocumentContent
from detector.envelopes.document import open_document
from detector.envelopes.json_stream import (
    LOG_FILE,
    MAX_DOCUMENT_BYTES,
    WINDOW_BYTES,
    Document,
    JSONStream,
    LogFilePiece,
    LogFileRecord,
    Tolerance,
)
from detector.envelopes.kpl import MAGIC as KPL_MAGIC
from detector.envelopes.kpl import deaggregate
from detector.envelopes.log_file import LogFile
from detector.envelopes.s3_notification import EVENT_SOURCE
from detector.envelopes.types import JSON, Inner, ObjectReference, Record, Skipped, Unreadable
from detector.errors import PayloadError

MAX_INFLATED_BYTES = 1 << 30
"""CloudTrail's own limit for a log file is 50 MB, and Firehose writes up to 128 MiB of gzip. What
is inflated is never held as a whole, so that this bounds time: some seconds."""

MAX_VALUES = 1_000_000
"""Commas and opening brackets in what is decoded at once: every value has one before it. Real
records have one in 34 bytes, so a window of them has 250,000. A value takes some hundred bytes at
most; without this cap a document of 32 MiB of brackets would decode to gigabytes of lists."""

MAX_DOCUMENTS = 2_000_000
"""JSON documents in one payload: each takes some microseconds, however small it is. Firehose's
largest objects hold about a million records."""

MAX_NESTING = 8
"""Envelopes within envelopes. A subscription that Lambda got, sent on through SNS, has five."""

BATCH_BYTES = 4 << 20
"""How many bytes of single records are matched together: what a batch costs is shared by them."""

BATCH_RECORDS = 50_000
"""How many of them, where they are smaller than any real one: each is an object of its own."""

_VALUE_MARKS = (b",", b"[", b"{")
_S3_RECORD = f'"{EVENT_SOURCE}"'.encode()


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on what one payload may hold."""

    max_inflated_bytes: int = MAX_INFLATED_BYTES
    max_values: int = MAX_VALUES


Content = LogFile | ObjectReference | Skipped | Unreadable


def open_payload(body: bytes | Path, limits: Limits) -> Iterator[Content]:
    """Yield what a body, or the file at a path, holds; records some at a time, as log files.

    A log file may turn out not to be one when it is decoded: `reopen_log_file` says what it is.
    """
    if isinstance(body, Path):
        yield from _open_file(body, limits)
        return
    document = inflate_small(body, min(WINDOW_BYTES, limits.max_inflated_bytes))
    # By far the most payloads are this, and are looked at once less.
    if document is not None and LOG_FILE.match(document) and _S3_RECORD not in document:
        yield _log_file(document, limits)
    else:
        # What is inflated already is not inflated a second time.
        yield from _Opening(limits).open(BytesIO(body if document is None else document))


def reopen_log_file(log_file: LogFile, limits: Limits) -> Iterator[Content]:
    """Yield what there is in a log file that could not be decoded as a whole."""
    yield from _Opening(limits).open(BytesIO(bytes(log_file.document)))


def _open_file(path: Path, limits: Limits) -> Iterator[Content]:
    try:
        with path.open("rb") as file:
            yield from _Opening(limits).open(file)
    except OSError as error:
        fault = PayloadError("unreadable", f"the file cannot be read: {error.strerror}")
        yield Unreadable(fault, b"", is_rest=True)


class _Opening:
    """Opens one payload, and counts what it inflates to."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.max_inflated_bytes
        self._tolerance = Tolerance()
        self._documents = 0
        self._records: list[JSON] = []
        self._records_bytes = 0

    def open(self, body: Reader, depth: int = 0) -> Iterator[Content]:
        """Yield what a body holds; the last may be that the rest of it cannot be read."""
        try:
            inflated = Inflated(body, max_bytes=self._left)
        except PayloadError as error:
            yield Unreadable(error, b"", is_rest=True)
            return
        try:
            yield from self._open_inflated(inflated, depth)
            if not depth:
                yield from self._flush()
        except PayloadError as error:
            yield from self._flush()
            yield Unreadable(error, b"", is_rest=True)
        finally:
            self._left = max(0, self._left - inflated.count)

    def _open_inflated(self, body: Inflated, depth: int) -> Iterator[Content]:
        if body.begin == KPL_MAGIC:
            data = _whole(body)
            records = deaggregate(data)
            if records is not None:
                for record in records:
                    yield from self._open_inner(record, depth)
                return
            yield from self._open_json(BytesIO(data), depth)
        elif is_avro(body.begin):
            for datum in open_avro(body, max_bytes=self._left, max_values=self._limits.max_values):
                yield from self._open_inner(datum, depth)
        elif body.begin == VALIDATION_MESSAGE[: len(body.begin)]:
            data = _whole(body)
            if data.strip() == VALIDATION_MESSAGE:
                yield Skipped("validation_message")
            else:
                yield from self._open_json(BytesIO(data), depth)
        else:
            yield from self._open_json(body, depth)

    def _open_json(self, body: Reader, depth: int) -> Iterator[Content]:
        piece = None
        for piece in JSONStream(body, tolerance=self._tolerance):
            self._count()
            if isinstance(piece, Document):
                yield from self._open_document(piece.body, depth)
            elif isinstance(piece, LogFileRecord):
                yield from self._take(piece.body)
            elif isinstance(piece, LogFilePiece):
                yield from self._flush()
                yield _log_file(piece.body, self._limits)
            else:
                yield from self._flush()
                yield Unreadable(piece.error, piece.body, piece.is_rest)
        if piece is None:
            raise PayloadError("empty", "there is nothing but white space in it")

    def _open_document(self, document: JSON, depth: int) -> Iterator[Content]:
        try:
            _check_values(document, self._limits.max_values)
            contents = open_document(document)
        except PayloadError as error:
            yield from self._flush()
            yield Unreadable(error, bytes(document))
        else:
            yield from self._open_contents(contents, depth)

    def _open_contents(self, contents: Sequence[DocumentContent], depth: int) -> Iterator[Content]:
        for content in contents:
            if isinstance(content, Record):
                yield from self._take(content.body)
            elif isinstance(content, Inner):
                yield from self._open_inner(content.body, depth)
            else:
                yield from self._flush()
                yield content

    def _open_inner(self, body: bytes, depth: int) -> Iterator[Content]:
        """Yield what lies in an envelope: nearly always one JSON document."""
        self._count()
        if depth == MAX_NESTING:
            error = PayloadError("too_deep", f"more than {MAX_NESTING} envelopes in one another")
            yield Unreadable(error, body)
            return
        if body.startswith(b"{"):
            try:
                _check_values(body, self._limits.max_values)
                contents = open_document(body)
            except PayloadError:
                pass  # more than one document, or no good one: said below
            else:
                yield from self._open_contents(contents, depth + 1)
                return
        for content in self.open(BytesIO(body), depth + 1):
            if isinstance(content, Unreadable) and content.is_rest:
                # The rest of this part, after which others follow: it is kept as a whole.
                yield replace(content, body=body, is_rest=False)
            else:
                yield content

    def _count(self) -> None:
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            error = f"the payload holds more than {MAX_DOCUMENTS} documents"
            raise PayloadError("too_many_documents", error)

    def _take(self, record: JSON) -> Iterator[Content]:
        self._records.append(record)
        self._records_bytes += len(memoryview(record))
        if self._records_bytes >= BATCH_BYTES or len(self._records) >= BATCH_RECORDS:
            yield from self._flush()

    def _flush(self) -> Iterator[LogFile | Unreadable]:
        if self._records:
            document = b'{"Records":[' + b",".join(self._records) + b"]}"
            self._records, self._records_bytes = [], 0
            yield _log_file(document, self._limits)


def _log_file(document: bytes, limits: Limits) -> LogFile | Unreadable:
    try:
        _check_values(document, limits.max_values)
    except PayloadError as error:
        return Unreadable(error, b"", is_rest=True)
    return LogFile(document)


def _check_values(document: JSON, most: int) -> None:
    """Refuse what would take much more memory as values than as text.

    Raises:
        PayloadError: `too_many_values`.
    """
    # Each value takes at least a byte, so that only a long document needs counting.
    if len(memoryview(document)) <= most:
        return
    if sum(map(bytes(document).count, _VALUE_MARKS)) > most:
        raise PayloadError("too_many_values", f"the document holds more than {most} values")


def _whole(body: Inflated) -> bytes:
    """Return all of a body.

    Raises:
        PayloadError: `too_large`, or what reading raises.
    """
    parts = []
    size = 0
    while part := body.read(WINDOW_BYTES):
        size += len(part)
        if size > MAX_DOCUMENT_BYTES:
            raise PayloadError("too_large", f"more than {MAX_DOCUMENT_BYTES} bytes in one piece")
        parts.append(part)
    return b"".join(parts)
