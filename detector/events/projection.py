"""Decoding of just those fields that the rules read.

A full decode of a CloudTrail record builds some hundred Python objects, and nearly every record is
looked at once and dropped. A `Projection` is built from the rules' selectors: msgspec decodes the
named fields into a struct made for them, and skips the rest while still checking that it is JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from detector.rules.syntax import Selector, Step, Wildcard
from detector.rules.values import MISSING, values_at

Getter = Callable[[Any], object]
"""From a record to the value that a selector selects: `MISSING`, the value, or `Several`."""

Names = tuple[str, ...]


GLANCE_LEVELS = 2
"""How deep a field may lie to be seen at a glance: a level above that is missing in many records,
and each that is would cost an exception."""


class Column(NamedTuple):
    """Ways to the values of one field of many records.

    `glance` reads it from one record or, unless `is_whole`, what lies above it; it raises
    AttributeError where an object on the way is missing. `values` is careful, and raises
    AttributeError only for what is no record. A list on the way is itself the value.
    """

    glance: Getter
    is_whole: bool
    values: Callable[[Sequence[Any]], list[object]]


class Several(list[object]):
    """More than one value, where a selector selects them."""


class Projection:
    """The fields that a set of selectors reads, as a record type and ways to their values.

    A selector that does not begin with a name reads the whole record, and has no place here.
    """

    def __init__(self, selectors: Iterable[Selector]) -> None:
        root = _Field()
        for selector in sorted(selectors, key=str):
            root.add(selector.names)
        self.record_type: type[msgspec.Struct] = root.struct_type("ProjectedRecord")
        self.decoder = msgspec.json.Decoder(self.record_type)
        self._root = root

    def getter(self, selector: Selector) -> Getter:
        """Return the way from an instance of `record_type` to a selector's value."""
        names, rest = selector.names, _rest_of(selector)
        if len(names) == 1:
            first = attrgetter(self._root.attribute(names[0]))
            return first if rest is _value_or_missing else lambda record: rest(first(record), ())
        return self._root.getter(names, rest)

    def attribute(self, selector: Selector) -> str | None:
        """Return the attribute of `record_type` that is a selector's value, where it is one."""
        if len(selector.steps) == 1 and selector.is_plain and not selector.through_lists:
            return self._root.attribute(selector.names[0])
        return None

    def column(self, names: Names) -> Column:
        """Return the ways to the values of one field of many records."""
        attributes = self._root.attributes(names)
        if attributes is None:
            careful = self._root.getter(names, _list_or_missing)
            return Column(careful, True, lambda records: list(map(careful, records)))
        glance = attrgetter(".".join(attributes[:GLANCE_LEVELS]))
        first = attrgetter(attributes[0])
        steps = self._root.steps(names)

        def values(records: Sequence[msgspec.Struct]) -> list[object]:
            found: list[Any] = list(map(first, records))
            for struct, attribute, read in steps:
                try:
                    found = list(map(read, found))
                except AttributeError:  # among the values is something else than an object
                    found = _next_level(found, struct, attribute)
            return found

        return Column(glance, len(names) <= GLANCE_LEVELS, values)


def _next_level(values: list[Any], struct: type[msgspec.Struct], attribute: str) -> list[Any]:
    return [
        getattr(value, attribute)
        if value.__class__ is struct
        else value
        if value.__class__ is list
        else MISSING
        for value in values
    ]


def dict_getter(selector: Selector) -> Getter:
    """Return the way from a record that was decoded in full to a selector's value."""
    names, rest = selector.names, _rest_of(selector)

    def get(record: Any) -> object:
        value = record
        for position, name in enumerate(names):
            if not isinstance(value, Mapping):
                return rest(value, names[position:])
            if name not in value:
                return MISSING
            value = value[name]
        return rest(value, ())

    return get


def column_value(record: object, names: Names) -> object:
    """Return what `Projection.column` has for a record that was decoded in full."""
    value = record
    for name in names:
        if not isinstance(value, Mapping):
            return _list_or_missing(value, names)
        if name not in value:
            return MISSING
        value = value[name]
    return value


_Rest = Callable[[Any, Names], object]
"""What to make of a value, and of the names that still lead on from it (it is no object then)."""


def _rest_of(selector: Selector) -> _Rest:
    steps = selector.steps[len(selector.names) :]
    if selector.through_lists:
        return partial(_through_lists, steps)
    return _walker(steps) if steps else _value_or_missing


def _value_or_missing(value: Any, names: Names) -> object:
    return MISSING if names else value


def _list_or_missing(value: Any, names: Names) -> object:
    return MISSING if names and not isinstance(value, (list, tuple)) else value


def _through_lists(trailing: Sequence[Step], value: Any, names: Names) -> object:
    if trailing or isinstance(value, (list, tuple)):
        return _collapsed(values_at(value, (*names, *trailing)))
    return MISSING if names else value


def _walker(steps: Sequence[Step]) -> _Rest:
    def walk(value: Any, names: Names) -> object:
        if names:
            return MISSING
        values = [value]
        for step in steps:
            values = [found for value in values for found in _taken(value, step)]
        return _collapsed(values)

    return walk


def _taken(value: Any, step: Step) -> Iterable[Any]:
    if isinstance(value, Mapping):
        if isinstance(step, str):
            return (value[step],) if step in value else ()
        return value.values() if step is Wildcard.FIELDS else ()
    if isinstance(value, (list, tuple)):
        if isinstance(step, int):
            return value[step : step + 1]
        return value if step is Wildcard.ELEMENTS else ()
    return ()


def _collapsed(values: list[Any]) -> object:
    if len(values) == 1:
        return values[0]
    return Several(values) if values else MISSING


class _Field:
    """One name in the tree of names that the selectors span."""

    def __init__(self) -> None:
        self.children: dict[str, _Field] = {}
        self.struct: type[msgspec.Struct] | None = None
        self.is_read = False
        """Whether a selector ends here, or goes on by other than names: the whole value is kept."""

    def add(self, names: Names) -> None:
        if not names:
            self.is_read = True
            return
        self.children.setdefault(names[0], _Field()).add(names[1:])

    def steps(self, names: Names) -> list[tuple[type[msgspec.Struct], str, attrgetter[Any]]]:
        """Return for each name but the first the struct that has it, and its attribute there."""
        field, found = self, []
        for name, inner in pairwise(names):
            field = field.children[name]
            assert field.struct is not None  # noqa: S101 - made by struct_type
            attribute = field.attribute(inner)
            found.append((field.struct, attribute, attrgetter(attribute)))
        return found

    def struct_type(self, name: str) -> type[msgspec.Struct]:
        """Return a struct whose attributes are numbered, so that any JSON name can stand."""
        fields = [
            (f"f{number}", child.type(f"{name}_{number}"), msgspec.field(name=key, default=MISSING))
            for number, (key, child) in enumerate(self.children.items())
        ]
        self.struct = msgspec.defstruct(name, fields, gc=False)
        return self.struct

    def type(self, name: str) -> Any:
        if self.is_read or not self.children:
            return Any
        # Whatever stands where an object is expected must decode too: it is data, not an error.
        nested = self.struct_type(name)
        return nested | list[Any] | str | int | float | bool | None

    def attribute(self, name: str) -> str:
        return f"f{list(self.children).index(name)}"

    def attributes(self, names: Names) -> list[str] | None:
        """Return the attributes that lead to a field; None where one on the way is read whole."""
        field, found = self, []
        for name in names:
            if field.is_read:
                return None
            found.append(field.attribute(name))
            field = field.children[name]
        return found

    def getter(self, names: Names, rest: _Rest) -> Getter:
        if not names:
            return lambda value: rest(value, ())
        if self.is_read:
            return lambda value: _in_dicts(value, names, rest)
        attribute = self.attribute(names[0])
        inner = self.children[names[0]].getter(names[1:], rest)

        def get(value: Any) -> object:
            if isinstance(value, msgspec.Struct):
                return inner(getattr(value, attribute))
            return MISSING if value is MISSING else rest(value, names)

        return get


def _in_dicts(value: Any, names: Names, rest: _Rest) -> object:
    for position, name in enumerate(names):
        if not isinstance(value, Mapping):
            return MISSING if value is MISSING else rest(value, names[position:])
        if name not in value:
            return MISSING
        value = value[name]
    return rest(value, ())
