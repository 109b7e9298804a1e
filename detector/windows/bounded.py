"""What is kept of a long list of anything: a part that does not depend on the order of arrival."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

MAX_NAMES = 50
"""Distinct values kept of each kind (actors, addresses, ...). More help nobody to read an alert;
a window's state stays some kilobytes even if an attacker makes up a name for each call."""

MAX_NAME_CHARACTERS = 512
"""Longer ones are cut: an assumed role's ARN has some 150."""

MAX_EVENT_IDS = 50
"""Event ids kept of the earliest events, and as many of the latest; the count stays exact."""

FIRST_EVIDENCE = 3
LAST_EVIDENCE = 2
"""Full records kept of the earliest events and of the latest ones: how it began, and how it is."""

MAX_EVIDENCE = FIRST_EVIDENCE + LAST_EVIDENCE

MAX_EVIDENCE_BYTES = 24_000
"""A longer record loses its two free-form parts, so that five fit into an SNS message."""

T = TypeVar("T")


class Ends(Generic[T]):
    """Keeps the first and the last of many items; what is between them is forgotten.

    `most` says how many of each, `order` what they are sorted by. An item is made only if it is
    kept.
    """

    def __init__(self, most: tuple[int, int], order: Callable[[T], Any]) -> None:
        self._first, self._last = most
        self._order = order

    def keep(self, first: list[T], last: list[T], rank: Any, make: Callable[[], T]) -> None:
        """Put an item of this rank into the sorted lists, if it belongs there.

        `last` holds nothing that is in `first`.
        """
        order = self._order
        if len(first) < self._first:
            self._insert(first, make())
            return
        if rank < order(first[-1]):
            self._insert(first, make())
            pushed_out = first.pop()
            rank, make = order(pushed_out), lambda: pushed_out
        if len(last) < self._last or rank > order(last[0]):
            self._insert(last, make())
            del last[: max(len(last) - self._last, 0)]

    def _insert(self, items: list[T], item: T) -> None:
        is_last = not items or self._order(item) >= self._order(items[-1])
        items.append(item)
        if not is_last:
            items.sort(key=self._order)


def tally(counts: dict[str, int], name: str) -> bool:
    """Count a name; return whether there are too many to keep all.

    Of too many a sample is kept, each with its whole count.

    The sample goes by the names' digests: it is as good as drawn by chance, does not depend on the
    order of arrival, and nobody gets out of it by flooding it with names that sort before theirs.
    """
    if not name:
        return False
    name = name[:MAX_NAME_CHARACTERS]
    if name in counts or len(counts) < MAX_NAMES:
        counts[name] = counts.get(name, 0) + 1
        return False
    greatest = max(counts, key=_digest)
    if _digest(name) < _digest(greatest):
        del counts[greatest]
        counts[name] = 1
    return True


@lru_cache(maxsize=4096)
def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()


def bounded_record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record, or what matters of it where it is too long."""
    return record if len(msgspec.json.encode(record)) <= MAX_EVIDENCE_BYTES else _cut(record)


def encoded_record(record: Mapping[str, Any]) -> msgspec.Raw:
    """Return the JSON of what `bounded_record` returns."""
    whole = msgspec.json.encode(record)
    return msgspec.Raw(
        whole if len(whole) <= MAX_EVIDENCE_BYTES else msgspec.json.encode(_cut(record))
    )


def _cut(record: Mapping[str, Any]) -> Mapping[str, Any]:
    cut = {
        key: value
        for key, value in record.items()
        if key not in {"requestParameters", "responseElements"}
    }
    if len(msgspec.json.encode(cut)) > MAX_EVIDENCE_BYTES:
        kept = ("eventTime", "eventSource", "eventName", "awsRegion", "eventID")
        cut = {key: str(cut[key])[:MAX_NAME_CHARACTERS] for key in kept if key in cut}
    return {**cut, "detectorTruncated": True}
