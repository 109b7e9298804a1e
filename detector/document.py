"""A YAML document that a person wrote, with the place of everything in it.

Plain data is built here from PyYAML's node tree, so that every later complaint can name a line and
a column, and so that YAML's surprises are refused or defused: duplicate keys, anchors that
multiply, tags that build objects, dates and octal account ids that silently change their type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detector.errors import DetectorError, Place

MAX_DOCUMENT_BYTES = 1 << 20
"""A rule or configuration of this size was not written by a person."""

MAX_NODES = 100_000
"""Values that a document may hold with its aliases expanded: nine lines can ask for billions."""

MAX_DEPTH = 64
"""Deeper than any record or configuration; an alias to itself would have no end."""

_TOO_DEEP = f"the document is nested more than {MAX_DEPTH} levels deep"

Key = str | int

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAB = re.compile(r"^ *\t", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data and the tree of nodes that it was built from."""

    path: str
    text: str
    data: object
    node: yaml.Node

    def place(self, keys: Sequence[Key]) -> Place:
        """Return where the value at a path of keys stands, or the nearest one above it."""
        return self._at(_find(self.node, keys)[-1])

    def key_place(self, keys: Sequence[Key]) -> Place:
        """Return where the last key of a path is written."""
        found = _find(self.node, keys[:-1])
        if len(found) == len(keys) and isinstance(found[-1], yaml.MappingNode):
            for key_node, _ in found[-1].value:
                if key_node.value == keys[-1]:
                    return self._at(key_node)
        return self.place(keys)

    def scalar_place(self, keys: Sequence[Key], offset: int) -> Place:
        """Return where the character at an offset of a scalar's text stands.

        Exact while the scalar lies on one line without escapes before it; else its beginning.
        """
        node = _find(self.node, keys)[-1]
        start = self._at(node)
        if not isinstance(node, yaml.ScalarNode) or node.style in {"|", ">"}:
            return start
        line = self.text.splitlines()[start.line - 1]
        written = line[start.column - 1 + bool(node.style) :]
        if not written.startswith(node.value[:offset]):
            return start
        return Place(self.path, start.line, start.column + bool(node.style) + offset)

    def _at(self, node: yaml.Node) -> Place:
        return _place(self.path, node.start_mark)


def read(path: Path, error: type[DetectorError]) -> Document:
    """Read and parse a file that holds one document; see `read_all`."""
    return _only(read_all(path, error), str(path), error)


def read_all(path: Path, error: type[DetectorError]) -> list[Document]:
    """Read and parse a file; every fault is raised as `error`, with its place."""
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as fault:
        raise error(f"the file cannot be read: {fault.strerror}", place=place) from fault
    if len(content) > MAX_DOCUMENT_BYTES:
        raise error(f"the file is larger than {MAX_DOCUMENT_BYTES} bytes", place=place)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise error(
            "the file is not UTF-8 text", place=Place(str(path), line), remedy="save it as UTF-8"
        ) from fault
    return parse_all(text, str(path), error)


def parse(text: str, path: str, error: type[DetectorError]) -> Document:
    """Parse a text that holds one document; see `parse_all`."""
    return _only(parse_all(text, path, error), path, error)


def parse_all(text: str, path: str, error: type[DetectorError]) -> list[Document]:
    """Parse a text of documents between `---`; every fault is raised as `error`, with its place."""
    loader: yaml.SafeLoader | None = None
    nodes: list[yaml.Node] = []
    try:
        _refuse_deep_nesting(text, path, error)
        loader = _LOADER(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                nodes.append(node)
    except yaml.MarkedYAMLError as fault:
        raise _syntax_error(fault, text, path, error) from fault
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        message = f"the file is not YAML: {str(fault).splitlines()[0]}"
        raise error(message, place=Place(path)) from fault
    finally:
        if loader is not None:
            loader.dispose()
    if not nodes:
        raise error("the file is empty", place=Place(path))
    builder = _Builder(path, error)
    return [Document(path, text, builder.build(node, 0), node) for node in nodes]


def _only(documents: list[Document], path: str, error: type[DetectorError]) -> Document:
    if len(documents) > 1:
        place = _place(path, documents[1].node.start_mark)
        raise error("a second document begins here, and only one is expected", place=place)
    return documents[0]


def _refuse_deep_nesting(text: str, path: str, error: type[DetectorError]) -> None:
    """Look at the flat stream of events first: PyYAML builds nodes by recursion in C, unbounded."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise error(_TOO_DEEP, place=_place(path, event.start_mark))


class _Builder:
    """Plain data from nodes, with a count of what aliases multiply."""

    def __init__(self, path: str, error: type[DetectorError]) -> None:
        self._path = path
        self._error = error
        self._nodes = 0

    def build(self, node: yaml.Node, depth: int) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._fault(node, f"the document expands to more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise self._fault(node, _TOO_DEEP)
        if isinstance(node, yaml.MappingNode):
            self._expect_tag(node, "map")
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            self._expect_tag(node, "seq")
            return [self.build(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._fault(node, "this kind of YAML node is not supported")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, object]:
        data: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._fault(key_node, "a key must be a plain string")
            key = key_node.value
            if key_node.tag == _TAG + "merge":
                raise self._fault(key_node, "merge keys (<<) are not supported")
            if key in lines:
                message = f"the key {key!r} stands in line {lines[key]} already"
                raise self._fault(key_node, message, "remove one of the two")
            lines[key] = key_node.start_mark.line + 1
            data[key] = self.build(value_node, depth + 1)
        return data

    def _scalar(self, node: yaml.ScalarNode) -> object:
        text: str = node.value
        if node.style:
            self._expect_tag(node, "str")
            return text
        known = {"null", "bool", "int", "float", "str", "timestamp", "value", "merge"}
        self._expect_tag(node, *known)
        return _plain(text)

    def _expect_tag(self, node: yaml.Node, *names: str) -> None:
        if node.tag.removeprefix(_TAG) not in names:
            raise self._fault(node, f"the tag {node.tag} is not supported", "remove the tag")

    def _fault(self, node: yaml.Node, message: str, remedy: str | None = None) -> DetectorError:
        return self._error(message, place=_place(self._path, node.start_mark), remedy=remedy)


def _plain(text: str) -> object:
    """Read an unquoted scalar by YAML 1.2's core schema: no dates, no octals, no yes and no."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= 300 else text  # noqa: PLR2004 - as long as a double's
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _place(path: str, mark: Any) -> Place:
    return Place(path, mark.line + 1, mark.column + 1) if mark else Place(path)


def _find(node: yaml.Node, keys: Sequence[Key]) -> list[yaml.Node]:
    """Return the nodes along a path of keys, from the top to as far as it exists."""
    found = [node]
    for key in keys:
        current = found[-1]
        below: yaml.Node | None = None
        if isinstance(current, yaml.MappingNode):
            below = next((value for name, value in current.value if name.value == key), None)
        elif isinstance(current, yaml.SequenceNode) and isinstance(key, int):
            below = current.value[key] if key < len(current.value) else None
        if below is None:
            break
        found.append(below)
    return found


def _syntax_error(
    fault: yaml.MarkedYAMLError, text: str, path: str, error: type[DetectorError]
) -> DetectorError:
    # What is found out only at the file's end is better told by where it began.
    lines = text.splitlines()
    marks = [item for item in (fault.problem_mark, fault.context_mark) if item is not None]
    mark = next((item for item in marks if item.line < len(lines)), None)
    place = _place(path, mark) if mark else Place(path, len(lines), len(lines[-1]) + 1)
    tab = _TAB.search(text)
    if tab is not None and mark is not None and text.count("\n", 0, tab.start()) <= mark.line:
        line = text.count("\n", 0, tab.end()) + 1
        column = tab.end() - text.rfind("\n", 0, tab.end()) - 1
        return error(
            "a tab cannot indent YAML", place=Place(path, line, column), remedy="use spaces"
        )
    context = f" ({fault.context})" if fault.context else ""
    return error(f"the file is not YAML: {fault.problem}{context}", place=place)
