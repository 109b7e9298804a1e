"""Gzip, told by its magic bytes and inflated piece by piece under a cap.

Neither a name's ending nor a Content-Encoding header can be trusted: HTTP clients unzip in
silence, and trails are copied about. The first two bytes tell.
"""

from __future__ import annotations

from io import BytesIO, RawIOBase
from typing import Any, Protocol

from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError

from detector.errors import PayloadError

GZIP_MAGIC = b"\x1f\x8b"

MAX_LAYERS = 2
"""Firehose zips what CloudWatch Logs has zipped already. Nobody zips it thrice."""

BEGIN_BYTES = 4
"""As many as tell what a body is: the longest of the magic numbers."""

_WBITS_GZIP = 31
_BUFFER_BYTES = 256 << 10
_STEP_BYTES = 8 << 10  # where the data breaks off, what was inflated of a step is lost


class Reader(Protocol):
    """Bytes one after the other."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many of the next bytes; none at the end."""
        ...


class Inflated:
    """What a body holds: itself where it is not gzip, else all that its members hold in a row.

    Never holds much more than it is asked for, whatever the compressed data claims to hold.

    Raises:
        PayloadError: here and in `read`: `empty`, `too_large` (over `max_bytes`), `truncated` (a
            member ends early), `corrupt` (not deflate data, or a wrong checksum), `too_deep` (gzip
            in more than `MAX_LAYERS` layers).
    """

    def __init__(self, body: Reader, *, max_bytes: int) -> None:
        self._source = _Layer(body, max_bytes)
        if not self._source.begin:
            raise PayloadError("empty", "the payload is empty")
        layers = 0
        while self._source.begin.startswith(GZIP_MAGIC):
            layers += 1
            if layers > MAX_LAYERS:
                raise PayloadError("too_deep", f"more than {MAX_LAYERS} layers of gzip")
            self._source = _Layer(_Members(self._source), max_bytes)

    @property
    def begin(self) -> bytes:
        """The first `BEGIN_BYTES`, fewer if there are not so many; they are still to be read."""
        return self._source.begin

    @property
    def count(self) -> int:
        """How many bytes were read, and looked at."""
        return self._source.count

    def read(self, size: int, /) -> bytes:
        """Return at most so many of the next bytes; none at the end."""
        return self._source.read(size)


def inflate(body: bytes, *, max_bytes: int) -> bytes:
    """Return what `body` holds as a whole; see `Inflated`.

    Raises:
        PayloadError: see `Inflated`.
    """
    whole = inflate_small(body, max_bytes)
    if whole is not None:
        return whole
    reader = Inflated(BytesIO(body), max_bytes=max_bytes)
    return b"".join(iter(lambda: reader.read(_BUFFER_BYTES), b""))


def inflate_small(body: bytes, max_bytes: int) -> bytes | None:
    """Return what `body` holds if that is not more than `max_bytes` and found at once, else None.

    A body of one member, as nearly all are, is inflated without a copy.
    """
    whole = body
    if body.startswith(GZIP_MAGIC):
        stream = isal_zlib.decompressobj(wbits=_WBITS_GZIP)
        try:
            whole = stream.decompress(body, max_bytes + 1)
        except IsalError:  # type: ignore[misc]  # found again, where it is told what is wrong
            return None
        if not stream.eof or stream.unused_data:
            return None
    if not whole or len(whole) > max_bytes or whole.startswith(GZIP_MAGIC):
        return None
    return whole


class _Layer(RawIOBase):
    """Bytes of which the first can be looked at, and that are no more than a cap."""

    def __init__(self, source: Reader, max_bytes: int) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self.count = 0
        self.begin = b""
        while more := self._next(BEGIN_BYTES - len(self.begin)):
            self.begin += more
        self._ahead = self.begin

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        body = self.read(len(buffer))
        buffer[: len(body)] = body
        return len(body)

    def read(self, size: int = -1, /) -> bytes:
        if self._ahead:
            ahead, self._ahead = self._ahead[:size], self._ahead[size:]
            return ahead
        return self._next(size)

    def _next(self, size: int) -> bytes:
        body = self._source.read(size) if size else b""
        self.count += len(body)
        if self.count > self._max_bytes:
            text = f"the payload inflates to more than {self._max_bytes} bytes"
            raise PayloadError("too_large", text)
        return body


class _Members:
    """What the gzip members in a layer hold; all of it that is there comes before an error."""

    def __init__(self, source: _Layer) -> None:
        self._file = igzip.IGzipFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]
        self._error: PayloadError | None = None

    def read(self, size: int, /) -> bytes:
        parts = []
        while size and self._error is None:
            part = self._part(min(size, _STEP_BYTES))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        if self._error is not None and not parts:
            raise self._error
        return b"".join(parts)

    def _part(self, size: int) -> bytes:
        try:
            return self._file.read1(size)
        except EOFError:
            self._error = PayloadError("truncated", "the gzip data ends in the middle")
        except (igzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]
            self._error = PayloadError("corrupt", f"the gzip data is damaged ({error})")
        except PayloadError as error:  # of the layer outside of this one
            self._error = error
        return b""
