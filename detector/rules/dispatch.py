"""From the values of a few fields to the few rules that a record could match.

Each rule is found by its guard, a field or two whose values rule it out for most records. What is
found by any field is narrowed once more by eventSource, since services share names of events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from detector.events.projection import Column, Names
from detector.rules.guards import COMMON, Atom, Classifier, Remembered, atoms_on, guard_of
from detector.rules.syntax import Node, NotExists

EVENT_NAME = ("eventName",)
EVENT_SOURCE = ("eventSource",)

NAMELESS = -1
"""Stands among the trees for: the record has no eventName."""

Groups = Mapping[Sequence[int], Sequence[int]]
"""Trees, and the positions of records for which each of these could hold."""


class Dispatch:
    """The guards of a number of trees; a tree is known by its position among them.

    `shares` is a guess for each tree at the share of records that are candidates of it.
    """

    def __init__(self, trees: Sequence[Node]) -> None:
        guards = [guard_of(tree) for tree in trees]
        self.shares = [1.0 if guard is None else guard.share for guard in guards]
        self._always = frozenset(
            number for number, share in enumerate(self.shares) if share > COMMON
        )
        atoms: dict[Names, list[tuple[Atom, int]]] = {
            EVENT_NAME: [(Atom(EVENT_NAME, NotExists(), negated=False), NAMELESS)]
        }
        for number, guard in enumerate(guards):
            if guard is not None and number not in self._always:
                for atom in guard.atoms:
                    atoms.setdefault(atom.names, []).append((atom, number))
        self._classifiers = {names: Classifier(items) for names, items in atoms.items()}
        self._classifiers[EVENT_NAME].everything -= {NAMELESS}  # a list or an object is there
        sources = [
            (atom, number)
            for number, tree in enumerate(trees)
            for atom in atoms_on(tree, EVENT_SOURCE) or ()
        ]
        self._with_source = frozenset(number for _, number in sources)
        self._sources = Classifier(sources)
        self._narrowed = Remembered(self._narrow)
        self.fields: Sequence[Names] = list(atoms)
        """The fields whose values are looked at."""

    def candidates(self, value_of: Callable[[Names], object]) -> list[int]:
        """Return the trees that could hold for a record with these values, in their order."""
        numbers = self._always.union(
            *(
                classifier.candidates(value_of(names))
                for names, classifier in self._classifiers.items()
            )
        )
        narrowed = self._narrow((numbers, value_of(EVENT_SOURCE)))
        return [number for number in narrowed if number != NAMELESS]

    def groups(
        self,
        records: Sequence[Any],
        columns: Sequence[Column],
        source_of: Callable[[Any], object],
    ) -> Groups:
        """Return trees, and the positions of records for which each of these could hold.

        `columns` are the ways to the values of `fields`, in their order. A pair of tree and
        position may come twice.

        Raises:
            AttributeError: something among the records is none.
        """
        groups: dict[Sequence[int], list[int]] = {}
        found = [
            hit
            for column, classifier in zip(columns, self._classifiers.values(), strict=True)
            for hit in classifier.hits(records, column)
        ]
        if self._always:
            found += [(index, self._always) for index in range(len(records))]
        for index, numbers in found:
            key = numbers, source_of(records[index])
            try:
                narrowed = self._narrowed[key]
            except TypeError:  # the source is a list or an object
                narrowed = self._narrow(key)
            group = groups.get(narrowed)
            if group is None:
                groups[narrowed] = [index]
            else:
                group.append(index)
        return groups

    def _narrow(self, key: tuple[frozenset[int], object]) -> tuple[int, ...]:
        """Return those of some trees that an eventSource does not rule out, in their order."""
        numbers, source = key
        if numbers.isdisjoint(self._with_source):
            return tuple(sorted(numbers))
        possible = self._sources.candidates(source)
        return tuple(sorted(numbers - (self._with_source - possible)))
