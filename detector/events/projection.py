"""Decoding of just those fields that the rules read.

A full decode of a CloudTrail record builds some hundred Python objects, and nearly every record is
looked at once and dropped. A `Projection` is built from the rules' selectors: msgspec decodes the
named fields into a struct made for them, and skips the rest while still checking that it is JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from detector.rules.syntax import Selector

MISSING = msgspec.UNSET
"""The value of a field that a record does not have."""


class Projection:
    """The fields that a set of selectors reads, as a record type and a way to its values.

    `slots` numbers the selectors; `values_of_record` and `values_of_dict` return one value for each
    slot. A path that runs through something other than an object leads to `MISSING`, like a path
    that is not there.
    """

    def __init__(self, selectors: Iterable[Selector]) -> None:
        ordered = sorted(set(selectors), key=lambda selector: selector.keys)
        self.slots: Mapping[Selector, int] = {item: slot for slot, item in enumerate(ordered)}
        root = _Field()
        for selector in ordered:
            root.add(selector.keys)
        self.record_type: type[msgspec.Struct] = root.struct_type("ProjectedRecord")
        self.decoder = msgspec.json.Decoder(self.record_type)
        self._root = root
        self._from_record = [root.getter(selector.keys) for selector in ordered]
        self._from_dict = [selector.keys for selector in ordered]

    def attribute(self, key: str) -> str:
        """Return the attribute of `record_type` that holds a top-level field."""
        return self._root.attribute(key)

    def values_of_record(self, record: msgspec.Struct) -> Sequence[object]:
        """Return the values of an instance of `record_type`."""
        return [get(record) for get in self._from_record]

    def values_of_dict(self, record: Mapping[str, object]) -> Sequence[object]:
        """Return the values of a record that was decoded in full."""
        return [value_at(record, keys) for keys in self._from_dict]


def value_at(record: object, keys: Sequence[str]) -> object:
    """Return the value at the end of a path of keys, or `MISSING`."""
    value = record
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return value


class _Field:
    """One name in the tree of names that the selectors span."""

    def __init__(self) -> None:
        self.children: dict[str, _Field] = {}
        self.is_read = False
        """Whether a selector ends here; then the whole value is kept."""

    def add(self, keys: Sequence[str]) -> None:
        if not keys:
            self.is_read = True
            return
        self.children.setdefault(keys[0], _Field()).add(keys[1:])

    def struct_type(self, name: str) -> type[msgspec.Struct]:
        """Return a struct whose attributes are numbered, so that any JSON name can stand."""
        fields = [
            (f"f{number}", child.type(f"{name}_{number}"), msgspec.field(name=key, default=MISSING))
            for number, (key, child) in enumerate(self.children.items())
        ]
        return msgspec.defstruct(name, fields, gc=False)

    def type(self, name: str) -> Any:
        if self.is_read or not self.children:
            return Any
        # Whatever stands where an object is expected must decode too: it is data, not an error.
        nested = self.struct_type(name)
        return nested | list[Any] | str | int | float | bool | None

    def attribute(self, key: str) -> str:
        return f"f{list(self.children).index(key)}"

    def getter(self, keys: Sequence[str]) -> Callable[[Any], object]:
        attribute = self.attribute(keys[0])
        child = self.children[keys[0]]
        if len(keys) == 1:
            return lambda record: getattr(record, attribute)
        if child.is_read:
            rest = keys[1:]
            return lambda record: value_at(getattr(record, attribute), rest)
        inner = child.getter(keys[1:])

        def get(record: Any) -> object:
            value = getattr(record, attribute)
            return inner(value) if isinstance(value, msgspec.Struct) else MISSING

        return get
