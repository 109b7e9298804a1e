"""Event names that no service has, or that several have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detector.rules.event_names import is_known_source, nearest, sources_of
from detector.rules.finding import Finding
from detector.rules.lint.globs import exact_text
from detector.rules.lint.implication import flat
from detector.rules.lint.subject import Subject
from detector.rules.oracle import holds
from detector.rules.syntax import (
    And,
    Condition,
    Equal,
    Node,
    Not,
    NotEqual,
    Or,
    leaves,
    selectors,
)

MAX_LISTED = 5
"""Services named where more have an event name; `TagResource` is one of some 200."""

MAX_SUGGESTIONS = 50
"""Look-ups of names in the whole catalogue, for one run of the linter: two seconds."""

_EVENT_NAME = ("eventName",)
_EVENT_SOURCE = ("eventSource",)


class Suggestions:
    """What misspelt names probably meant, looked up once each.

    A look-up goes through 20,000 names and takes 40 ms, so there is an end to it: whoever loads a
    rule pack full of unheard-of names still gets an answer in time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], str | None] = {}
        self._left = MAX_SUGGESTIONS

    def nearest(self, name: str, source: str | None) -> str | None:
        """Return what was probably meant, None where there is no telling."""
        key = (name, source)
        if key not in self._known:
            if source is None or not is_known_source(source):
                if not self._left:
                    return None
                self._left -= 1
            self._known[key] = nearest(name, source)
        return self._known[key]

    @property
    def at_end(self) -> bool:
        """Whether a name without a source is no longer looked up."""
        return not self._left


@dataclass(frozen=True, slots=True)
class _Named:
    """A condition that names an event, and the conditions on eventSource that must hold with it."""

    condition: Condition
    name: str
    is_cased: bool
    beside: tuple[Node, ...]
    is_positive: bool


def name_findings(subject: Subject, suggestions: Suggestions) -> Iterator[Finding]:
    """Yield what is wrong with the exact event names in a subject."""
    seen = set()
    for named in _named(subject.tree, (), is_positive=True):
        key = (named.name, named.beside, named.is_positive)
        if key not in seen:
            seen.add(key)
            yield from _judge(subject, named, suggestions)


def _named(node: Node, beside: tuple[Node, ...], *, is_positive: bool) -> Iterator[_Named]:
    if isinstance(node, Not):
        yield from _named(node.operand, beside, is_positive=not is_positive)
    elif isinstance(node, And):
        operands = list(flat(node))
        beside += tuple(operand for operand in operands if _is_about_source(operand))
        for operand in operands:
            yield from _named(operand, beside, is_positive=is_positive)
    elif isinstance(node, Or):
        for arm in node.operands:
            yield from _named(arm, beside, is_positive=is_positive)
    elif isinstance(node, Condition) and node.selector.steps == _EVENT_NAME:
        is_negated = isinstance(node.test, NotEqual)
        test = Equal(node.test.literal) if isinstance(node.test, NotEqual) else node.test
        exact = exact_text(test)
        if exact is not None:
            yield _Named(node, *exact, beside, is_positive is not is_negated)


def _is_about_source(node: Node) -> bool:
    read = {selector.steps for selector in selectors(node)}
    return read == {_EVENT_SOURCE} and all(isinstance(leaf, Condition) for leaf in leaves(node))


def _judge(subject: Subject, named: _Named, suggestions: Suggestions) -> Iterator[Finding]:
    wanted = _single_source(named.beside)
    name = named.name
    if not named.is_cased and not sources_of(name):
        meant = suggestions.nearest(name, wanted)
        if meant is None and suggestions.at_end:
            return  # it may be a known name in another case
        if meant is not None and meant.casefold() == name.casefold():
            name = meant
    sources = sources_of(name)
    if not any(_admits(named.beside, source) for source in sources):
        meant = suggestions.nearest(name, wanted)
        yield _unknown(subject, named, wanted, meant)
    elif len(sources) > 1 and not named.beside and named.is_positive:
        yield subject.finding(
            "shared-event-name",
            f"{name} is an event of {len(sources)} services: {_listed(sources)}",
            named.condition,
            "test eventSource too, for the services that are meant",
        )


def _admits(beside: Sequence[Node], source: str) -> bool:
    return all(holds(node, {"eventSource": source}, "") for node in beside)


def _unknown(subject: Subject, named: _Named, wanted: str | None, meant: str | None) -> Finding:
    where = f" for {wanted}" if wanted is not None else " for that eventSource"
    elsewhere = sources_of(named.name)
    remedies = [f"did you mean {meant}?"] if meant is not None else []
    if elsewhere:
        remedies.append(f"{named.name} is an event of {_listed(elsewhere)}")
    return subject.finding(
        "unknown-event-name",
        f"the event name {named.name} is not in the catalogue{where if named.beside else ''}",
        named.condition,
        " ".join(remedies) or "check its spelling; the catalogue does not hold every event",
    )


def _single_source(beside: Sequence[Node]) -> str | None:
    """Return the one eventSource that is named beside an event name, if one is."""
    exact = (exact_text(node.test) for node in beside if isinstance(node, Condition))
    return next((found[0] for found in exact if found is not None), None)


def _listed(sources: frozenset[str]) -> str:
    ordered = sorted(sources)
    rest = len(ordered) - MAX_LISTED
    listed = ", ".join(ordered[:MAX_LISTED])
    return f"{listed} and {rest} more" if rest > 0 else listed
