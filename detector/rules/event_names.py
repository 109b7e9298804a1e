"""The catalogue of CloudTrail's event names: which services have a name, and what a misspelt meant.

The catalogue is `event_names.txt`, which `python -m tests.make_event_names` makes from botocore's
service models; that module says where its facts are from. It is a help for those who write rules
and never complete: services get new operations every week, and consoles use operations that are
published nowhere. What is not in it may still be in a log.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

_SIMILARITY = 0.8
"""How much a suggestion has in common with what was written, as difflib measures it.

A wrong or missing letter leaves more than 0.9 of a usual name, a wrong word less than 0.8.
"""


def sources_of(event_name: str) -> frozenset[str]:
    """Return the event sources that have an event of this name: none if it is unknown."""
    return frozenset(_catalogue().sources.get(event_name, ()))


def names_of(event_source: str) -> frozenset[str]:
    """Return the event names of an event source: none if it is unknown."""
    return _catalogue().names.get(event_source, frozenset())


def is_known_source(event_source: str) -> bool:
    """Return whether a service logs as this event source, such as `iam.amazonaws.com`."""
    return event_source in _catalogue().names


def nearest(event_name: str, event_source: str | None = None) -> str | None:
    """Return the event name that was probably meant; None if it is known, or if there is none.

    That is, in this order, what CloudTrail calls the operation of that name
    (PutBucketLifecycleConfiguration is logged as PutBucketLifecycle), the name in its right case,
    and the most similar one. With a known event source only its names count: another's could never
    match beside it.
    """
    catalogue = _catalogue()
    if event_source is not None and event_source in catalogue.names:
        names: Collection[str] = catalogue.names[event_source]
        logged_as = catalogue.logged_as.get(event_source, {})
    else:
        names = catalogue.sources
        logged_as = {
            operation: name
            for renamed in catalogue.logged_as.values()
            for operation, name in renamed.items()
        }
    if event_name in names:
        return None
    if event_name in logged_as:
        return logged_as[event_name]
    folded = event_name.casefold()
    in_other_case = [name for name in names if name.casefold() == folded]
    if in_other_case:
        return min(in_other_case)
    similar = difflib.get_close_matches(event_name, names, n=1, cutoff=_SIMILARITY)
    return similar[0] if similar else None


class _Catalogue(NamedTuple):
    names: Mapping[str, frozenset[str]]
    """The event names of each event source."""
    sources: Mapping[str, list[str]]
    """The event sources of each event name."""
    logged_as: Mapping[str, Mapping[str, str]]
    """Of each event source the operations that it logs by another name, and that name."""


@cache
def _catalogue() -> _Catalogue:
    """Read the data file: 20,000 lines, hence once, and not before somebody asks."""
    text = resources.files(__package__).joinpath("event_names.txt").read_text(encoding="ascii")
    names: dict[str, frozenset[str]] = {}
    sources: dict[str, list[str]] = {}
    logged_as: dict[str, dict[str, str]] = {}
    for block in text.split("\n\n")[1:]:
        source, *lines = block.splitlines()
        if " " in block:
            pairs = [line.split(" ") for line in lines]
            lines = [pair[0] for pair in pairs]
            logged_as[source] = {pair[1]: pair[0] for pair in pairs if len(pair) > 1}
        names[source] = frozenset(lines)
        for name in lines:
            sources.setdefault(name, []).append(source)
    return _Catalogue(names, sources, logged_as)
