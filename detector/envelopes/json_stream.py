"""JSON documents one after the other, read piece by piece.

Firehose writes what it gets in a row: without anything between, or line by line. A log file is one
document, which may be much longer than what one wants in memory: its records are handed on some at
a time. msgspec finds where a document ends; nothing here counts braces in what may be a string.
Where it refuses one, the places where it could end are tried by the tolerant reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from detector import lenient_json
from detector.envelopes.compression import Reader
from detector.errors import PayloadError

WINDOW_BYTES = 8 << 20
"""How much is looked at at once. Smaller, and long log files take more steps; larger, and each
source's delivery takes that much more memory while it is processed."""

MAX_DOCUMENT_BYTES = 32 << 20
"""The longest document but for log files, of which each record is one. CloudTrail's records have
256 KiB at most, and CloudWatch Logs sends 1 MiB in a piece."""

MAX_FAULTS = 50
"""Pieces that are no JSON before the rest is given up: each is looked at twice."""

MAX_TOLERANT_BYTES = 1 << 20
"""How far the end of a document is looked for that msgspec refuses. Four times CloudTrail's longest
record; looking takes forty times as long as reading."""

MAX_TOLERATED = 5_000_000
"""Strings and brackets looked at for the ends of all of them together in one payload: two seconds.
CloudTrail's largest log file, of records that msgspec refuses one and all, has 50 MB."""

_BYTES_PER_MARK = 64  # that take as long to look at as a string or a bracket

_CUTS = 16
"""Places where a piece of a log file is tried to be cut: records hold lists of objects too."""

_WITHOUT_RECORDS = b'{"":['
"""What stands for the begin of a log file once its records are read."""

_END_BYTES = 4 << 10
"""How much of what follows the records of a log file is looked at first: nearly always two."""

LOG_FILE = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
"""How a log file begins."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")
_OBJECT_LINE = re.compile(rb"\n(\{[^\n]*)")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_MALFORMED = re.compile(r"\(byte (\d+)\)\Z")
_TRUNCATED = "Input data was truncated"
# A string without an end goes to that of the text: looked for again from each of the quotes in it,
# its end would take quadratic time.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<end>"|\\?\Z)|[\[{\]}]', re.DOTALL)
_RAW = msgspec.json.Decoder(msgspec.Raw)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON document, whole."""

    body: bytes | msgspec.Raw


@dataclass(frozen=True, slots=True)
class LogFilePiece:
    """Some records of a log file that is longer than the window, as a log file of their own."""

    body: bytes


@dataclass(frozen=True, slots=True)
class LogFileRecord:
    """One record of such a log file, where they are not found together."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be read as JSON; `is_rest` says that nothing after it was looked at."""

    error: PayloadError
    body: bytes
    is_rest: bool


class Tolerance:
    """How far the ends of documents that msgspec refuses may still be looked for in a payload."""

    def __init__(self, most: int = MAX_TOLERATED) -> None:
        self.left = most

    def spend(self, marks: int, size: int) -> None:
        """Take off what was looked at."""
        self.left -= marks + size // _BYTES_PER_MARK


Piece = Document | LogFilePiece | LogFileRecord | Broken


class _Rest(msgspec.Struct):
    """What a log file holds besides its records."""

    Records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class JSONStream:
    """Reads the documents of a body; iterate over it once.

    `is_endless` is for a body that goes on for as long as the process: it is never given up before
    its end, whatever is broken in it, and what is broken does not hold up the lines that follow.

    Raises:
        PayloadError: what reading the body raises. What comes before a body breaks off, or grows
            too large, is read first; what comes before damage may be damaged too.
    """

    def __init__(
        self,
        body: Reader,
        *,
        window: int = WINDOW_BYTES,
        max_document: int = MAX_DOCUMENT_BYTES,
        tolerance: Tolerance | None = None,
        is_endless: bool = False,
    ) -> None:
        self._body = body
        self._window = window
        self._max_document = max(window, max_document)
        self._tolerance = tolerance or Tolerance()
        self._is_endless = is_endless
        self._buffer = b""
        self._at = 0
        self._is_all = False
        self._is_given_up = False
        self._is_left = False
        """Whether no more of the log file is read that was being read."""
        self._error: PayloadError | None = None
        """Why no more of the body can be read."""
        self._faults = 0
        self._is_one_by_one = False
        """Whether what is in the buffer was found not to be documents line by line."""

    def __iter__(self) -> Iterator[Piece]:
        while len(self._buffer) < len(_BYTE_ORDER_MARK) and self._grow():
            pass
        if self._buffer.startswith(_BYTE_ORDER_MARK):
            self._at = len(_BYTE_ORDER_MARK)
        while self._skip_space():
            yield from self._next()
        if self._error is not None and not self._is_given_up:
            raise self._error

    def _next(self) -> Iterator[Piece]:
        """Yield what is next, and go past it; nothing where more was to be read first."""
        try:
            end = self._value_end()
        except PayloadError as error:
            yield from self._refused(error)
            return
        if end is not None:
            yield Document(self._taken(end))
            yield from self._lines()
        elif len(self._buffer) - self._at >= self._window and self._is_log_file():
            yield from self._log_file()
        elif not self._grow():
            yield self._rest(self._too_large())

    def _lines(self) -> Iterator[Piece]:
        """Yield all whole documents in the buffer at once, where that is how they lie."""
        if self._is_one_by_one:
            return
        cut = len(self._buffer)
        if not self._is_all:
            cut = max(self._buffer.rfind(b"\n"), self._buffer.rfind(b"}{")) + 1
        if cut <= self._at:
            self._is_one_by_one = True  # not to be looked for again after each document
            return
        # A string may not hold a line break: where one holds "}{", what comes of it is refused.
        text = self._buffer[self._at : cut].replace(b"}{", b"}\n{")
        try:
            documents = _RAW.decode_lines(text)
        except (msgspec.DecodeError, RecursionError):
            self._is_one_by_one = True
            return
        self._at = cut
        for document in documents:
            yield Document(document)

    def _refused(self, error: PayloadError) -> Iterator[Piece]:
        """Yield what msgspec refuses: as a document, if it is one for the tolerant reader."""
        if self._is_log_file():
            yield from self._log_file()
            return
        if error.reason == "truncated":
            yield self._rest(error)
            return
        if not self._is_endless and self._is_short() and self._grow():
            return
        end = self._tolerant_end()
        if end is not None and _is_tolerable(self._buffer[self._at : end]):
            yield Document(self._taken(end))
            return
        line_end = self._buffer.find(b"\n", self._at)
        if self._is_endless and self._is_short():
            is_told = line_end >= 0 and (end is not None or self._is_followed())
            if not is_told and self._grow():
                return
        yield self._broken(error, len(self._buffer) if line_end < 0 else line_end)

    def _log_file(self) -> Iterator[Piece]:
        """Yield the records of a log file some at a time, and go past its end."""
        self._at = LOG_FILE.match(self._buffer, self._at).end()  # type: ignore[union-attr]
        self._is_left = False
        is_empty = True
        while self._skip_space():
            if self._buffer.startswith(b"]", self._at):
                if is_empty:
                    yield LogFilePiece(b'{"Records":[]}')
                yield from self._end_of_log_file()
                return
            if self._buffer.startswith(b",", self._at):
                self._at += 1
                continue
            is_empty = False
            yield from self._records()
            if self._is_left:
                return
        yield self._rest(PayloadError("truncated", "the document ends among its records"))

    def _records(self) -> Iterator[Piece]:
        """Yield the next records; nothing where more was to be read first."""
        if not self._is_one_by_one:
            records = self._many_records()
            if records is not None:
                yield LogFilePiece(b'{"Records":[' + records + b"]}")
                return
            self._is_one_by_one = True
        try:
            end = self._value_end()
        except PayloadError as error:
            yield from self._refused_record(error)
            return
        if end is not None:
            yield LogFileRecord(self._taken(end))
        elif not self._grow():
            yield self._rest(self._too_large())

    def _refused_record(self, error: PayloadError) -> Iterator[Piece]:
        """Yield a record that msgspec refuses, as one if it is for the tolerant reader."""
        if error.reason == "truncated":
            yield self._rest(error)
            return
        if not self._is_endless and self._is_short() and self._grow():
            return
        end = self._tolerant_end()
        if end is not None and _is_tolerable(self._buffer[self._at : end]):
            yield LogFileRecord(self._taken(end))
            return
        if self._is_endless and self._is_short():
            is_told = self._is_followed() if end is None else end < len(self._buffer)
            if not is_told and self._grow():
                return
        yield self._rest(error) if end is None else self._broken(error, end)

    def _many_records(self) -> bytes | None:
        """Return as many whole records as there are in the buffer, if that is found at once."""
        end = len(self._buffer)
        for _ in range(_CUTS):
            end = self._buffer.rfind(b"},", self._at, end)
            if end < 0:
                break
            records = self._buffer[self._at : end + 1]
            try:
                _RAWS.decode(b"[" + records + b"]")
            except (msgspec.DecodeError, RecursionError):
                continue  # the cut lies within a record
            self._at = end + 1
            return records
        return None

    def _end_of_log_file(self) -> Iterator[Piece]:
        """Go past what follows the records: it is read as that of a document without any."""
        size = _END_BYTES
        while True:
            text = _WITHOUT_RECORDS + self._buffer[self._at : self._at + size]
            is_all = self._is_all and self._at + size >= len(self._buffer)
            try:
                end = _value_end(text, 0, is_all=is_all)
            except PayloadError as error:
                yield self._rest(error)
                return
            if end is not None:
                break
            size *= 2
            if self._at + size > len(self._buffer) and not self._is_all and not self._grow():
                yield self._rest(self._too_large())
                return
        if msgspec.json.decode(text[:end], type=_Rest).Records is not msgspec.UNSET:
            # Whichever of the lists is meant, the other one would be left out in silence.
            yield self._rest(PayloadError("malformed_json", "the document has Records twice"))
            return
        self._at += end - len(_WITHOUT_RECORDS)

    def _value_end(self) -> int | None:
        return _value_end(self._buffer, self._at, is_all=self._is_all)

    def _tolerant_end(self) -> int | None:
        """Return where the brackets are balanced that open here, None if they are not soon."""
        if self._tolerance.left <= 0:
            return None
        if self._is_endless and self._buffer[self._at] not in b'{["':
            return None  # a text, of any number of lines: not to be searched from each of them
        last = min(self._at + MAX_TOLERANT_BYTES, len(self._buffer))
        depth = marks = 0
        end = None
        for token in _TOKEN.finditer(self._buffer, self._at, last):
            marks += 1
            mark = token.group()
            if mark in {b"{", b"["}:
                depth += 1
            elif mark in {b"}", b"]"}:
                depth -= 1
            if depth <= 0 and token["end"] in {None, b'"'}:
                end = token.end()
                break
        self._tolerance.spend(marks, (end or last) - self._at)
        return end

    def _is_short(self) -> bool:
        """Return whether the end of what msgspec refuses may lie in what is still to be read."""
        return len(self._buffer) - self._at < MAX_TOLERANT_BYTES

    def _is_followed(self) -> bool:
        """Return whether a later line is a document of its own.

        Then what begins here and has no end is a broken line, and not a document over many lines:
        within those, what begins a line is nearly always indented, or has a comma behind it. What
        is no object, list or string is never over many lines.
        """
        if self._tolerance.left <= 0 or self._buffer[self._at] not in b'{["':
            return True
        marks, end, is_found = 0, len(self._buffer), False
        for line in _OBJECT_LINE.finditer(self._buffer, self._at):
            marks += 1
            if _is_json(line[1]):
                end, is_found = line.end(), True
                break
        self._tolerance.spend(marks, end - self._at)
        return is_found

    def _is_log_file(self) -> bool:
        return LOG_FILE.match(self._buffer, self._at) is not None

    def _taken(self, end: int) -> bytes:
        taken = self._buffer[self._at : end]
        self._at = end
        return taken

    def _broken(self, error: PayloadError, end: int) -> Broken:
        self._faults += not self._is_endless
        if end == len(self._buffer) or self._faults >= MAX_FAULTS:
            return self._rest(error)
        return Broken(error, self._taken(end), is_rest=False)

    def _rest(self, error: PayloadError) -> Broken:
        """Return all that is left, and read no more; of an endless body, what is left of a line."""
        self._is_left = True
        if self._is_endless and not self._is_all:
            line_end = self._buffer.find(b"\n", self._at)
            rest = self._taken(len(self._buffer) if line_end < 0 else line_end)
            return Broken(error, rest, is_rest=False)
        rest = self._taken(len(self._buffer))
        self._is_all = self._is_given_up = True
        return Broken(self._error or error, rest, is_rest=True)

    def _too_large(self) -> PayloadError:
        return PayloadError("too_large", f"a document is longer than {self._max_document} bytes")

    def _skip_space(self) -> bool:
        """Go to the next byte that is no space; return whether there is one."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._buffer):
                return True
            if not self._grow():
                return False

    def _grow(self) -> bool:
        """Read more behind what is not done with; return whether there is more."""
        left = len(self._buffer) - self._at
        if self._is_all or left >= self._max_document:
            return False
        try:
            more = self._body.read(self._window - left if left < self._window else left)
        except PayloadError as error:
            if error.reason == "corrupt":
                raise
            self._error, more = error, b""
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        self._is_all = not more
        self._is_one_by_one = False
        return True


def _value_end(text: bytes, at: int, *, is_all: bool) -> int | None:
    """Return where the value ends that begins at a place; None if more must be read to know.

    Raises:
        PayloadError: `truncated`, `malformed_json` or `too_deep`.
    """
    value = memoryview(text)[at:]
    try:
        _RAW.decode(value)
    except msgspec.DecodeError as error:
        message = str(error)
        if trailing := _TRAILING.search(message):
            return at + int(trailing.group(1)) - 1
        is_cut = message == _TRUNCATED
        if not is_all and (is_cut or _is_at_end(message, value)):
            return None
        if is_cut and not lenient_json.seems_truncated(value):
            raise PayloadError("truncated", "the document ends in the middle") from error
        raise PayloadError("malformed_json", f"the document is not JSON: {message}") from error
    except RecursionError as error:
        raise PayloadError("too_deep", "the document is nested too deeply") from error
    is_closed = text[at : at + 1] in {b"{", b"[", b'"'}
    return len(text) if is_closed or is_all else None


def _is_at_end(message: str, value: memoryview) -> bool:
    """Return whether what is malformed is the end: msgspec says so of a number that breaks off."""
    place = _MALFORMED.search(message)
    return place is not None and int(place[1]) >= len(value)


def _is_json(document: bytes) -> bool:
    try:
        _RAW.decode(document)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _is_tolerable(document: bytes) -> bool:
    try:
        lenient_json.decode(_RAW, document)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
