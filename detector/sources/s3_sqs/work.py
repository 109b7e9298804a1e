"""What is under way for one message, and in which parts its objects are fetched."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from detector.envelopes.types import ObjectReference
from detector.sources.s3_sqs.message import Message

PART_BYTES = 8 << 20
"""What the objects of one delivery may weigh together. A message can name a thousand objects: taken
as one delivery they would be held all at once, whatever the budget says. One that is larger is a
delivery by itself."""

UNKNOWN_OBJECT_BYTES = 1 << 20
"""What an object is taken to weigh where its announcement does not say. Nearly all log files are
smaller; for one that is not, its real weight is acquired before it is fetched."""

DAMAGED = frozenset({"truncated", "corrupt", "malformed_json"})
"""Reasons that may lie in the transfer, so that another one may bring a body that is whole."""


@dataclass(slots=True, eq=False)
class Work:
    """A message is done with when all parts of it are: deleted, or left to the queue's redrive."""

    message: Message
    parts: int
    reasons: set[str] = field(default_factory=set)

    def part_done(self, reasons: Collection[str] = ()) -> bool:
        """Take note of a part; return whether it was the last one."""
        self.parts -= 1
        self.reasons |= set(reasons)
        return self.parts == 0


def weight(reference: ObjectReference, max_bytes: int) -> int:
    """Return the bytes for which a place is taken before the object is fetched."""
    size = UNKNOWN_OBJECT_BYTES if reference.size is None else reference.size
    return min(size, max_bytes)


def in_parts(
    references: Sequence[ObjectReference], max_bytes: int
) -> Iterator[list[ObjectReference]]:
    """Yield the objects in their order, as many at once as one delivery may hold."""
    part: list[ObjectReference] = []
    size = 0
    for reference in references:
        added = weight(reference, max_bytes)
        if part and size + added > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(reference)
        size += added
    if part:
        yield part
