"""Log files on disk, for the directory source and for a replay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from detector.envelopes.log_file import delivery_time
from detector.errors import PayloadError
from detector.sources.delivery import Payload
from detector.sources.stored import ALL_TIME, Period, Stored

IN_MEMORY_BYTES = 8 << 20
"""What is read of a file at once. Compressed log files are smaller, nearly all of them."""

_KINDS = (".json", ".jsonl", ".ndjson", ".avro")
LOG_FILE_SUFFIXES = (*_KINDS, *(f"{kind}.gz" for kind in _KINDS))


def is_log_file_name(name: str) -> bool:
    """Return whether a name is that of a log file; a leading dot marks one still being written."""
    return name.endswith(LOG_FILE_SUFFIXES) and not name.startswith(".")


def _ignored(_: OSError) -> None:
    pass


def log_files(
    folder: Path, on_unreadable: Callable[[OSError], None] = _ignored
) -> Iterator[os.DirEntry[str]]:
    """Yield the log files in a folder and below, in order of their names.

    Symbolic links to folders are not followed: a loop of them would have no end. Folders below that
    cannot be read, such as the `lost+found` of a volume, are told to `on_unreadable`.

    Raises:
        OSError: the folder itself cannot be read.
    """
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from log_files(Path(entry.path), on_unreadable)
            except FileNotFoundError:
                continue  # removed since it was listed
            except OSError as error:
                on_unreadable(error)
        elif is_log_file_name(entry.name) and entry.is_file():
            yield entry


def read_payload(path: Path, max_bytes: int) -> Payload:
    """Read a file; what prevents it is in the payload, for the account to show.

    A long one is only looked at, and left to be read when it is processed.
    """
    body: bytes | Path | PayloadError
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                body = _too_large(max_bytes)
            else:
                body = file.read() if size <= IN_MEMORY_BYTES else path
    except OSError as error:
        body = PayloadError("unreadable", f"the file cannot be read: {error.strerror}")
    return Payload(str(path), body, delivery_time(path.name))


def stored_files(
    paths: Iterable[Path], max_bytes: int, period: Period = ALL_TIME
) -> Iterator[Stored]:
    """Yield the files named, and the log files in the folders named, that a period holds.

    A file's time is that in its name; one whose name tells none is taken.

    Raises:
        OSError: a folder cannot be read.
    """
    for path in paths:
        files = (Path(entry.path) for entry in log_files(path)) if path.is_dir() else [path]
        for file in files:
            delivered_at = delivery_time(file.name)
            if period.holds(delivered_at):
                yield Stored(str(file), delivered_at, partial(read_payload, file, max_bytes))


def _too_large(max_bytes: int) -> PayloadError:
    return PayloadError("too_large", f"the file is larger than {max_bytes} bytes")
