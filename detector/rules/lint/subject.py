"""A condition that somebody wrote, with the place of everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import yaml

from detector.document import Document, Key
from detector.errors import Edit, Place
from detector.rules.finding import Code, Finding
from detector.rules.folding import folded
from detector.rules.lint.pattern_text import Span, condition_spans
from detector.rules.syntax import Condition, FieldsAlike, Like, Node, NumberLike, leaves
from detector.rules.values import number_text

NOT_SEARCHES = frozenset({"condition", "rules"})
"""The keys of a detection, or of a filter's section, that name no search."""


def place_of(document: Document | None, path: str, *keys: Key) -> Place:
    """Return where the value at a path of keys stands, or the nearest one above it."""
    return Place(path) if document is None else document.place(keys)


@dataclass(frozen=True)
class Subject:
    """The tree of a rule or filter, without what other files make of it, and where it is from.

    `section` is the file's key for it: pattern, detection or filter.
    """

    tree: Node
    section: str
    path: str
    document: Document | None

    @cached_property
    def pattern(self) -> str | None:
        """The text of a JSON filter pattern; None if the subject is anything else."""
        text = self._data if self.section == "pattern" else None
        return text if isinstance(text, str) and text.lstrip().startswith("{") else None

    @property
    def searches(self) -> Mapping[str, object]:
        """Sigma's named searches."""
        found = self._data if self.section != "pattern" else None
        if not isinstance(found, dict):
            return {}
        return {name: search for name, search in found.items() if name not in NOT_SEARCHES}

    @property
    def conditions(self) -> Sequence[str]:
        """Sigma's conditions, of which a detection can have several."""
        found = self._data.get("condition") if isinstance(self._data, dict) else None
        return [str(item) for item in (found if isinstance(found, list) else [found])]

    def place(self, *keys: Key) -> Place:
        """Return where the value at a path of keys below the section stands."""
        return place_of(self.document, self.path, self.section, *keys)

    def place_of_key(self, key: Key) -> Place:
        """Return where a key of the section is written."""
        if self.document is None:
            return Place(self.path)
        return self.document.key_place([self.section, key])

    def place_at(self, offset: int) -> Place:
        """Return where the character at an offset of the pattern stands."""
        if self.document is None:
            return Place(self.path)
        if self._start is None:
            return self.document.scalar_place([self.section], offset)
        begin = self.document.place([self.section])
        return Place(self.path, begin.line, begin.column + len(self._quote) + offset)

    def place_of_node(self, node: Node) -> Place:
        """Return where the first condition of a node is written."""
        leaf = next(leaves(node), None)
        if leaf is None:
            return self.place()
        if self.section != "pattern":
            return self.place(*self._search_keys(leaf))
        span = self.span(leaf)
        return self.place() if span is None else self.place_at(span.start)

    def span(self, leaf: Node) -> Span | None:
        """Return where a condition, an object of this very tree, stands in the pattern."""
        return self._spans.get(id(leaf))

    def edit(self, change: Edit) -> Edit | None:
        """Return a change of the pattern as one of the file's text.

        None where the pattern is written in another way than it reads: in a block, over several
        lines, with escapes.
        """
        if self._start is None:
            return None
        # Only new quotes can need an escape: with old ones the text would not be the pattern.
        escape = self._quote == '"'
        replacement = change.replacement.replace('"', '\\"') if escape else change.replacement
        return Edit(self._start + change.offset, change.length, replacement)

    def finding(
        self, code: Code, message: str, at: Node | Place, remedy: str, fix: Edit | None = None
    ) -> Finding:
        """Return a finding at a place, or at that of a node."""
        place = at if isinstance(at, Place) else self.place_of_node(at)
        return Finding(code, message, place, remedy, fix)

    @property
    def _data(self) -> object:
        data = self.document.data if self.document is not None else None
        return data.get(self.section) if isinstance(data, dict) else None

    @cached_property
    def _scalar(self) -> yaml.ScalarNode | None:
        node = self.document.node if self.document is not None else None
        if not isinstance(node, yaml.MappingNode):
            return None
        found = next((value for key, value in node.value if key.value == self.section), None)
        return found if isinstance(found, yaml.ScalarNode) else None

    @property
    def _quote(self) -> str:
        return (self._scalar.style or "") if self._scalar is not None else ""

    @cached_property
    def _start(self) -> int | None:
        """The offset in the file at which the pattern stands, if it stands there as it reads."""
        if self.document is None or self._scalar is None or self.pattern is None:
            return None
        start: int = self._scalar.start_mark.index + len(self._quote)
        is_same = self.document.text.startswith(self.pattern, start)
        return start if self._quote in {"", "'", '"'} and is_same else None

    @cached_property
    def _spans(self) -> Mapping[int, Span]:
        """Where each leaf stands: the parser makes one for each condition, in their order."""
        if self.pattern is None:
            return {}
        spans = condition_spans(self.pattern)
        found = list(leaves(self.tree))
        if len(spans) != len(found):
            return {}
        return {id(leaf): span for leaf, span in zip(found, spans, strict=True)}

    def _search_keys(self, leaf: Node) -> Sequence[Key]:
        """Return the keys of the value that a leaf was made of, or else of its field."""
        sought, text = _field(leaf), _text(leaf)
        nearest: Sequence[Key] = ()
        for keys, name, value in _values(self.searches, ()):
            if name == sought:
                if folded(str(value).strip("*")) == text:
                    return keys
                nearest = nearest or keys
        return nearest


def _field(leaf: Node) -> str:
    return str(leaf.selector) if isinstance(leaf, (Condition, FieldsAlike)) else ""


def _text(leaf: Node) -> str:
    if isinstance(leaf, Condition) and isinstance(leaf.test, Like):
        return folded(leaf.test.glob.text.strip("*"))
    if isinstance(leaf, Condition) and isinstance(leaf.test, NumberLike):
        return number_text(leaf.test.number)
    return ""


def _values(data: object, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str, object]]:
    """Yield the keys, the field and the value of all that searches hold."""
    if not isinstance(data, (dict, list)):
        fields = [key for key in keys[1:] if isinstance(key, str)]
        yield keys, fields[-1].partition("|")[0] if fields else "", data
        return
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield from _values(value, (*keys, key))
