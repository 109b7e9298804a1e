"""The small interface behind which the quarantine's entries lie, and where they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.errors import QuarantineError
from detector.quarantine.entry import State

MAX_DOCUMENT_BYTES = 256 << 20
"""The longest document that is read. What we write is shorter, as a body of 128 MiB takes 171 in
base64; what somebody else has put there must not fill the memory."""

REPLAY = "replay"
"""Below the entries: those that are to be read once more."""


class EntryGoneError(QuarantineError):
    """An entry is not there, or not any more: somebody has moved or dropped it."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"there is no entry {entry_id}")


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry as a list shows it, without a look into it. `size` is its document's, in bytes."""

    id: str
    size: int
    state: State


@dataclass(frozen=True, slots=True)
class Usage:
    """What there is, and what was dropped to keep within the bounds since the last time.

    `full` counts entries dropped to make room, `expired` those past their retention.
    """

    entries: int
    bytes: int
    full: int = 0
    expired: int = 0


class QuarantineStore(Protocol):
    """Where entries are kept. Each call may be repeated: the second time changes nothing.

    All raise `QuarantineError` where the place cannot be reached, and `EntryGoneError` where an
    entry is to be read or replayed that is not there.
    """

    poll_seconds: float
    """How often to look for what is to be replayed."""

    async def make_room(self, size: int, now: float) -> Usage:
        """Drop what is past its retention, and the oldest where so many bytes would not fit."""
        ...

    async def keep(self, documents: Mapping[str, bytes]) -> None:
        """Keep documents, by their ids; they are durable on return.

        What is kept already, and waits neither for a replay nor is dropped, stays as it is: of the
        same source, origin and body there is one entry, however often it is delivered.
        """
        ...

    async def listed(self, state: State) -> list[Listed]:
        """Return the entries, oldest first."""
        ...

    async def beginning(self, item: Listed) -> bytes:
        """Return enough of a document to tell all but its body."""
        ...

    async def read(self, item: Listed) -> bytes:
        """Return a document."""
        ...

    async def request_replay(self, item: Listed) -> None:
        """Have the service read an entry once more, now or at its next start."""
        ...

    async def drop(self, item: Listed) -> None:
        """Forget an entry; one that is gone already is no error."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
