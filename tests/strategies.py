"""Trees and records for property tests, from a world so small that they often meet."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st

from detector.rules.regex import searcher
from detector.rules.syntax import (
    And,
    Before,
    Columns,
    Condition,
    Equal,
    Exists,
    FieldsAlike,
    Glob,
    InNetwork,
    InText,
    IsBoolean,
    IsNull,
    Leaf,
    Like,
    Matches,
    Node,
    Not,
    NotEqual,
    NotExists,
    NullOrMissing,
    Number,
    NumberLike,
    Or,
    Order,
    Ordered,
    Overlap,
    Regex,
    Selector,
    Test,
    TimePart,
    TimeUnit,
    Wild,
    Wildcard,
    star_glob,
)

FUZZ = int(os.environ.get("DETECTOR_FUZZ_EXAMPLES", "1"))
"""How many times as many examples as usual."""


def examples(count: int) -> settings:
    """Return settings for this many examples, or a multiple where the environment asks for it."""
    return settings(max_examples=count * FUZZ)


# What stands in records.

PATHS = (
    ("eventName",),
    ("eventSource",),
    ("errorCode",),
    ("eventTime",),
    ("sourceIPAddress",),
    ("odd.name",),
    ("userIdentity",),
    ("userIdentity", "type"),
    ("userIdentity", "sessionContext"),
    ("userIdentity", "sessionContext", "mfa"),
    ("requestParameters",),
    ("requestParameters", "name"),
    ("requestParameters", "name", "x"),
    ("requestParameters", ""),
)
LIKELY_PATHS = (
    ("eventName",),
    ("eventSource",),
    ("errorCode",),
    ("userIdentity", "type"),
    ("userIdentity", "sessionContext", "mfa"),
)
TIMES = ("2026-09-16T12:34:56Z", "2026-09-16T12:34:56+02:00", "2026-01-01", "2026-09-16 12:34")
ADDRESSES = ("10.0.0.1", "10.1.2.3", "2001:DB8::1", "203.0.113.7")

# Of these letters some change their length in the other case, some have two small forms, and one
# is another letter's sign; of these strings some are numbers, booleans or null to a careless eye.
words = st.text(alphabet='abAB1.*?%ßİıſΣσς\u212a\n"\\ -', max_size=4)
names = st.sampled_from(["a", "A", "b", "ab", "AB", "", "1", "1.0", "10", "true", "null"])
numbers = st.sampled_from(
    [0, -0.0, 1, 1.0, -1, 1.5, 10, 1e20, 10**20, 2**53 + 1, 2.0**53, 2**63, 2**70, 10**400]
)
few = st.sampled_from(["a", "A", "b", "1"])
fewer: st.SearchStrategy[Any] = st.sampled_from(["a", "a", "1", 1, 1.0, True, 10, 0, -0.0, None])
texts = st.one_of(names, names, words, st.sampled_from(TIMES), st.sampled_from(ADDRESSES))
scalars = st.one_of(texts, texts, numbers, st.booleans(), st.none())
keys = st.sampled_from(["type", "mfa", "name", "x", "", "sessionContext"])
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=5,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Records that have some of the fields, with values of every kind in them."""
    event: dict[str, Any] = {"eventName": draw(few), "eventSource": draw(few)}
    event["errorCode"] = draw(fewer)
    for key, *_ in PATHS:
        change = draw(st.integers(0, 4))
        if change == 0:
            event.pop(key, None)
        elif change == 1:
            event[key] = draw(st.one_of(scalars, values))
    if draw(st.booleans()):
        context = draw(st.one_of(values, st.fixed_dictionaries({"mfa": few})))
        event["userIdentity"] = {"type": draw(few), "sessionContext": context}
    if draw(st.booleans()):
        event["requestParameters"] = {"name": draw(values)}
        if draw(st.booleans()):
            event["requestParameters"] = [event["requestParameters"], draw(values)]
    return event


@st.composite
def documents(draw: st.DrawFn) -> str:
    """The JSON of records, spaced and escaped as different writers do."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\t:\n")]))
    return json.dumps(draw(events()), ensure_ascii=draw(st.booleans()), separators=separators)


# What rules ask of them.


def _canonical(parts: list[str | Wild]) -> Glob:
    """Return the glob as a parser makes it: no text beside text, no empty one, no run twice."""
    merged: list[str | Wild] = []
    for part in parts:
        last = merged[-1] if merged else None
        if part == "" or (part is Wild.RUN and last is Wild.RUN):
            continue
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        else:
            merged.append(part)
    return Glob(tuple(merged))


globs = st.one_of(
    texts.map(lambda text: _canonical([text])),
    st.lists(st.one_of(texts, st.sampled_from(Wild)), max_size=4).map(_canonical),
)
star_globs = st.text(alphabet='abA1. \\"*&|(){}[]%$', max_size=5).map(star_glob)
spelled_numbers = st.sampled_from(
    ["0", "1", "1.0", "01", "+1", "-1", "1.5", "10", "1e1", "1e20", "1.", ".5", str(2**53 + 1)]
).map(lambda word: Number(int(word) if word.lstrip("+-").isdigit() else float(word), word))
regexes = st.builds(
    Regex,
    st.sampled_from(
        ["a", "^a", "b$", "a|b", "[ab]+", ".", "^.$", "", r"\d", r"1\.5", "(a)(b)?", r"\x22", "ß"]
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)

_tails = st.lists(
    st.one_of(st.integers(0, 2), st.sampled_from(Wildcard), st.sampled_from(["name", "x", "type"])),
    min_size=1,
    max_size=2,
)
plain_selectors = st.sampled_from(PATHS).map(Selector)
sigma_selectors = st.sampled_from(PATHS).map(lambda path: Selector(path, through_lists=True))
stepped_selectors = st.builds(
    lambda path, tail, through_lists: Selector((*path, *tail), through_lists=through_lists),
    st.sampled_from([*PATHS, ()]),
    _tails,
    st.sampled_from([False, False, False, True]),
)
selectors = st.one_of(plain_selectors, plain_selectors, sigma_selectors, stepped_selectors)

_literals = st.one_of(globs, spelled_numbers, regexes)
_ordered = st.builds(Ordered, st.sampled_from(Order), numbers, st.booleans())
cloudwatch_tests: st.SearchStrategy[Test] = st.one_of(
    st.builds(Equal, _literals),
    st.builds(NotEqual, _literals),
    _ordered,
    st.builds(IsNull),
    st.builds(IsBoolean, st.booleans()),
    st.builds(NotExists),
)
sigma_tests: st.SearchStrategy[Test] = st.one_of(
    st.builds(Like, globs, st.booleans()),
    st.builds(NumberLike, numbers),
    st.builds(NullOrMissing),
    st.builds(Exists, st.booleans()),
    st.builds(Matches, regexes),
    st.sampled_from(["10.0.0.0/8", "10.0.0.1/32", "2001:db8::/32", "0.0.0.0/0"])
    .map(ipaddress.ip_network)
    .map(InNetwork),
    st.builds(
        TimePart,
        st.sampled_from(get_args(TimeUnit)),
        st.sampled_from([34, 12, 10, 16, 38, 1, 9, 2026]),
    ),
    st.builds(Before, st.sampled_from([0.0, 1_789_562_096.0, 1_789_562_097.0, 4e9])),
)
conditions = st.builds(Condition, selectors, st.one_of(cloudwatch_tests, sigma_tests))
_likely = st.builds(
    Condition,
    st.builds(Selector, st.sampled_from(LIKELY_PATHS), st.booleans()),
    st.one_of(
        st.builds(Equal, few.map(star_glob)),
        st.builds(Like, few.map(star_glob)),
        st.builds(NotEqual, few.map(star_glob)),
        st.builds(NumberLike, st.sampled_from([1, 10])),
        st.builds(Equal, spelled_numbers),
    ),
)
_column_names = st.lists(
    st.one_of(st.none(), st.sampled_from("abcd")), min_size=1, max_size=4, unique=True
).map(tuple)


# A shape is a tree of numbers that stand for conditions, so that several trees can share them.

_Shape = int | tuple[str, tuple["_Shape", ...]]
_shapes: st.SearchStrategy[_Shape] = st.recursive(
    st.integers(0, 7),
    lambda inner: st.tuples(
        st.sampled_from(["and", "or", "or", "not"]), st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


def _grown(shape: _Shape, pool: Sequence[Leaf]) -> Node:
    if isinstance(shape, int):
        return pool[shape % len(pool)]
    word, below = shape
    operands = tuple(_grown(item, pool) for item in below)
    if word == "not" and operands:
        return Not(operands[0])
    return And(operands) if word == "and" else Or(operands)


def _forest(pool: Sequence[Leaf], shapes: list[_Shape]) -> list[Node]:
    return [_grown(shape, pool) for shape in shapes]


def _columns(
    column_names: tuple[str | None, ...], shape: _Shape, tests: list[tuple[int, Test]]
) -> Columns:
    named = [name for name in column_names if name is not None] or ["a"]
    pool = [Condition(Selector((named[at % len(named)],)), test) for at, test in tests]
    return Columns(column_names, _grown(shape, pool))


leaves: st.SearchStrategy[Leaf] = st.one_of(
    conditions,
    conditions,
    conditions,
    _likely,
    _likely,
    _likely,
    st.builds(FieldsAlike, selectors, selectors, st.sampled_from(Overlap), st.booleans()),
    st.builds(InText, st.one_of(globs, regexes), st.booleans()),
    st.builds(
        _columns,
        _column_names,
        _shapes,
        st.lists(st.tuples(st.integers(0, 3), cloudwatch_tests), min_size=1, max_size=3),
    ),
)


forests: st.SearchStrategy[list[Node]] = st.builds(
    _forest,
    st.one_of(
        st.lists(leaves, min_size=1, max_size=6),
        st.lists(_likely, min_size=1, max_size=6),
        st.lists(st.one_of(_likely, leaves), min_size=1, max_size=4),
    ),
    st.lists(_shapes, min_size=1, max_size=5),
)
"""Trees of several rules, which share conditions; in some, conditions that records often meet."""

trees: st.SearchStrategy[Node] = st.builds(
    _grown, _shapes, st.lists(leaves, min_size=1, max_size=6)
)


# Trees that a JSON filter pattern can say.

_pattern_names = st.sampled_from([*PATHS, ("a-b", "c_d"), ("it is", "x.y"), ("{}$&|%",)])
_pattern_steps = st.lists(
    st.one_of(st.integers(0, 12), st.sampled_from(["x", "é", '"', "1"])), max_size=2
)
pattern_selectors = st.builds(
    lambda path, steps, wildcard: Selector((*path, *steps, *wildcard)),
    _pattern_names,
    _pattern_steps,
    st.one_of(st.just(()), st.just(()), st.just(()), st.sampled_from(Wildcard).map(lambda w: (w,))),
)
_pattern_regexes = st.text(alphabet=r"ab1:_#=@/;,- ^$.", min_size=1, max_size=6).map(Regex)


def _compiles(regex: Regex) -> bool:
    try:
        searcher(regex)
    except ValueError:
        return False
    return True


_pattern_literals = st.one_of(
    star_globs, star_globs, spelled_numbers, _pattern_regexes.filter(_compiles)
)
pattern_conditions = st.builds(
    Condition,
    pattern_selectors,
    st.one_of(
        st.builds(Equal, _pattern_literals),
        st.builds(NotEqual, _pattern_literals),
        st.builds(Ordered, st.sampled_from(Order), st.sampled_from([0, 1, -1, 1.5, 1e20, 2**70])),
        st.builds(IsNull),
        st.builds(IsBoolean, st.booleans()),
        st.builds(NotExists),
    ),
)


def _joined(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    operands = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.one_of(st.builds(And, operands), st.builds(Or, operands))


pattern_trees: st.SearchStrategy[Node] = st.recursive(pattern_conditions, _joined, max_leaves=6)
