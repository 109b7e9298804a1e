"""Records as the matchers want them: each decoded no further than its candidates ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from detector import lenient_json
from detector.envelopes.types import RecordBatch
from detector.events.projection import Getter, Projection, dict_getter
from detector.rules.syntax import Selector

SCREENED, PROJECTED, WHOLE = range(3)
"""How far a record is decoded: the fields of every record, those of any rule, all."""


MAX_DECODED = 1_000
"""Decoded records kept of one batch: a batch may have a hundred thousand, of 256 KiB each."""


class Decoding:
    """What is decoded at each depth, and the ways to the selectors' values there.

    `slots` numbers the selectors.
    """

    def __init__(self, slots: Mapping[Selector, int], screened: Collection[Selector]) -> None:
        self._slots = slots
        self._screened = screened
        projected = {selector for selector in slots if selector.names}
        self.screen = Projection(screened)
        self._projection = Projection(projected)
        self.attributes: tuple[Sequence[str | None], ...] = (
            [self.screen.attribute(item) if item in screened else None for item in slots],
            [self._projection.attribute(item) if item in projected else None for item in slots],
            [None for _ in slots],
        )
        """By depth and slot: the record's attribute that is the value, where it is that simple."""
        self.getters = (
            self._ways(self.screen.getter, set(screened)),
            self._ways(self._projection.getter, projected),
            self._ways(dict_getter, set(slots)),
        )

    def depth(self, selectors: Iterable[Selector]) -> int:
        """Return how far a record must be decoded to read these selectors."""
        read = set(selectors)
        if not all(selector.names for selector in read):
            return WHOLE
        return SCREENED if read <= set(self._screened) else PROJECTED

    def decode(self, raw: msgspec.Raw, depth: int) -> object:
        """Decode one record.

        Raises:
            msgspec.DecodeError, RecursionError: it cannot be read that far.
        """
        decoder: msgspec.json.Decoder[Any] = self._projection.decoder
        return lenient_json.decode(_WHOLE_RECORD if depth == WHOLE else decoder, raw)

    def _ways(
        self, way: Callable[[Selector], Getter], covered: Collection[Selector]
    ) -> list[Getter]:
        return [way(item) if item in covered else _out_of_reach for item in self._slots]


class BatchReader:
    """Looks at a batch again, for what was not decoded of every record.

    The last records decoded are remembered by depth: several trees ask for the same ones.
    """

    def __init__(self, decoding: Decoding, batch: RecordBatch) -> None:
        self._decoding = decoding
        self._batch = batch
        self._raw: Sequence[msgspec.Raw] | None = None
        self._decoded: dict[tuple[int, int], object] = {}

    def record(self, position: int, depth: int) -> object:
        """Return a record, decoded further than it was screened.

        Raises:
            msgspec.DecodeError, RecursionError: the record cannot be read that far.
        """
        key = position, depth
        if key not in self._decoded:
            if len(self._decoded) >= MAX_DECODED:
                self._decoded.clear()
            self._decoded[key] = self._decoding.decode(self._raw_record(position), depth)
        return self._decoded[key]

    def text(self, position: int) -> str:
        """Return a record as it was delivered."""
        return bytes(self._raw_record(position)).decode("utf-8", "replace")

    def _raw_record(self, position: int) -> msgspec.Raw:
        if self._raw is None:
            self._raw = self._batch.raw()
        return self._raw[position]


_WHOLE_RECORD = msgspec.json.Decoder(dict[str, Any])


def _out_of_reach(_: object) -> object:
    raise AssertionError("a rule reads a field that was not decoded for it")
