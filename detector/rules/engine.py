"""Many trees at once: which of them hold for each record of a batch, at the least cost.

A batch is screened first: one typed decode of few fields, then for each field that guards trees one
pass over its column of values (`detector.rules.dispatch`). What remains are the candidates: records
and, for each, the few trees that could hold. A candidate is decoded no further than these ask.

Which fields are decoded of every record is a plan. A field costs a little for every record; a tree
that reads one which was not decoded costs a second look at the whole batch. The first plan is a
guess; later ones go by which trees have been candidates. Plans change the cost, never the outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from detector.envelopes.types import RecordBatch
from detector.errors import PayloadError
from detector.events.projection import column_value
from detector.rules.compiler import Compiler, Matcher
from detector.rules.decoding import SCREENED, WHOLE, BatchReader, Decoding
from detector.rules.dispatch import EVENT_SOURCE, NAMELESS, Dispatch, Groups
from detector.rules.guards import Remembered
from detector.rules.syntax import Leaf, Node, Selector, leaves, selectors
from detector.rules.values import OwnText, record_text

SECOND_LOOK_WEIGHT = 20
"""What a second look at a batch costs, in fields decoded of every record. Measured: 740 ns a record
against 35 to 40."""

FREE_FORM_FIELDS = frozenset({"requestParameters", "responseElements", "additionalEventData"})
"""To read one of these whole is to build all the objects in it for every record."""

FREE_FORM_WEIGHT = 12

FIRST_PLAN_RECORDS = 5_000
"""Records after which the guess is replaced. Each later plan waits ten times as long."""

MAX_TEXTS = 100
"""Records' texts kept for one batch, for the next rule that asks: of up to 256 KiB each, twice."""

GUESSED_BATCH = 100
"""Records of a batch, for the guess: how likely it holds a candidate of a tree."""


T = TypeVar("T")


class BatchMatches(Generic[T]):
    """What the trees said of one batch, by the records' positions in it."""

    __slots__ = ("count", "matched", "nameless", "not_records", "unreadable")

    def __init__(self, count: int) -> None:
        self.count = count
        self.matched: dict[int, Sequence[T]] = {}
        self.not_records: list[int] = []
        """Positions of what is no JSON object."""
        self.nameless: list[int] = []
        """Positions of records without an eventName: Insights events have none."""
        self.unreadable: dict[int, PayloadError] = {}
        """Records that a tree had to read further, and that could not be."""


class Engine(Generic[T]):
    """Trees, each with what stands for it in the answers."""

    def __init__(self, trees: Sequence[Node], labels: Sequence[T]) -> None:
        self._trees = trees
        self._labels_of = Remembered[tuple[T, ...]](
            lambda numbers: tuple([labels[number] for number in sorted(set(numbers))])
        )
        self.dispatch = Dispatch(trees)
        self._slots = {item: slot for slot, item in enumerate(dict.fromkeys(_read_by(trees)))}
        self._compiler = Compiler(self._slots, _shared(trees, len(self._slots)))
        self._whole: list[Matcher | None] = [None] * len(trees)
        self._seen = 0
        self._asked = [0] * len(trees)
        """Records of the batches in which each tree was a candidate."""
        self._next_plan = FIRST_PLAN_RECORDS
        guess = [min(1.0, share * GUESSED_BATCH) for share in self.dispatch.shares]
        self._plan = _Plan(self, _screened(trees, self.dispatch, guess))

    def match(self, record: Mapping[str, Any], text: str | None) -> list[T]:
        """Return what holds for one record; its compact JSON is its text if none is."""
        shared: dict[int, bool] = {}

        own_text = OwnText(lambda: record_text(record) if text is None else text)
        holding = tuple(
            number
            for number in self.dispatch.candidates(partial(column_value, record))
            if self._whole_matcher(number).holds(record, own_text, shared)
        )
        return list(self._labels_of[holding])

    def match_batch(self, batch: RecordBatch) -> BatchMatches[T]:
        """Return what holds for the records of a batch.

        Raises:
            PayloadError: the batch cannot be read as a whole.
        """
        if self._seen >= self._next_plan:
            self._replan()
        plan = self._plan
        decoded = batch.decode(plan.decoding.screen.record_type)
        result = BatchMatches[T](len(decoded))
        records: Sequence[Any] = decoded
        positions: Sequence[int] = range(len(decoded))
        try:
            groups = plan.groups(records)
        except AttributeError:  # something in the list is no JSON object
            records, positions = plan.only_records(decoded, result)
            groups = plan.groups(records)
        self._seen += len(records)
        if groups:
            judge = _Judge(plan, batch, records, positions, result)
            self._judge(judge, groups, result)
        return result

    def _judge(self, judge: _Judge, groups: Groups, result: BatchMatches[T]) -> None:
        holding: dict[int, list[int]] = {}
        count, asked = len(judge.records), set[int]()
        for numbers, indices in groups.items():
            asked.update(numbers)
            for number in numbers:
                if number == NAMELESS:
                    result.nameless += [judge.positions[index] for index in indices]
                    continue
                for index in judge.holding(number, indices):
                    known = holding.get(index)
                    if known is None:
                        holding[index] = [number]
                    else:
                        known.append(number)
        for number in asked - {NAMELESS}:
            self._asked[number] += count
        result.nameless.sort()
        labels = self._labels_of
        result.matched = {
            judge.positions[index]: labels[tuple(holding[index])] for index in sorted(holding)
        }
        for position in result.unreadable:
            result.matched.pop(position, None)

    def compile(self, number: int, decoding: Decoding, depth: int) -> Matcher:
        """Return a tree's matcher of records of one depth."""
        return self._compiler.compile(
            self._trees[number], decoding.getters[depth], decoding.attributes[depth]
        )

    def decoding(self, screened: set[Selector]) -> Decoding:
        """Return how records are decoded if these fields are decoded of every one."""
        return Decoding(self._slots, screened)

    def read_by(self, number: int) -> Iterator[Selector]:
        """Yield the selectors that a tree reads."""
        return selectors(self._trees[number])

    @property
    def size(self) -> int:
        """The number of trees."""
        return len(self._trees)

    def _whole_matcher(self, number: int) -> Matcher:
        matcher = self._whole[number]
        if matcher is None:
            matcher = self._whole[number] = self.compile(number, self._plan.decoding, WHOLE)
        return matcher

    def _replan(self) -> None:
        asked = [records / self._seen for records in self._asked]
        screened = _screened(self._trees, self.dispatch, asked)
        if screened != self._plan.screened:
            self._plan = _Plan(self, screened)
        self._next_plan = 10 * self._seen


class _Plan:
    """Which fields are decoded of every record, and what follows from that."""

    def __init__(self, engine: Engine[Any], screened: set[Selector]) -> None:
        self._engine = engine
        self.screened = screened
        self.decoding = engine.decoding(screened)
        screen = self.decoding.screen
        self._dispatch = engine.dispatch
        self._columns = [screen.column(names) for names in engine.dispatch.fields]
        self._source_of = screen.getter(Selector(EVENT_SOURCE))
        self.matchers: list[tuple[Matcher, int] | None] = [None] * engine.size
        """By the trees' numbers; made when a tree is first a candidate."""

    def matcher(self, number: int) -> tuple[Matcher, int]:
        """Return a tree's matcher, and how far it wants records decoded."""
        depth = self.decoding.depth(self._engine.read_by(number))
        made = self.matchers[number] = self._engine.compile(number, self.decoding, depth), depth
        return made

    def groups(self, records: Sequence[Any]) -> Groups:
        """Return trees and the records for which they could hold; see `Dispatch.groups`."""
        return self._dispatch.groups(records, self._columns, self._source_of)

    def only_records(
        self, decoded: Sequence[Any], result: BatchMatches[Any]
    ) -> tuple[Sequence[Any], Sequence[int]]:
        """Return the JSON objects among what was decoded, and their positions."""
        record_type = self.decoding.screen.record_type
        positions: list[int] = []
        for position, item in enumerate(decoded):
            is_record = item.__class__ is record_type
            (positions if is_record else result.not_records).append(position)
        return [decoded[position] for position in positions], positions


class _Judge:
    """Examines the candidates of one batch; looks at it again only if one must be read further."""

    def __init__(
        self,
        plan: _Plan,
        batch: RecordBatch,
        records: Sequence[Any],
        positions: Sequence[int],
        result: BatchMatches[Any],
    ) -> None:
        self.records = records
        self.positions = positions
        self._plan = plan
        self._batch = batch
        self._result = result
        self._reader: BatchReader | None = None
        self._shared: dict[int, dict[int, bool]] = {}
        self._texts: dict[int, OwnText] = {}

    def holding(self, number: int, indices: Sequence[int]) -> list[int]:
        """Return those of the indices for whose records a tree holds."""
        matcher, depth = self._plan.matchers[number] or self._plan.matcher(number)
        quick, records = matcher.quick, self.records
        if quick is not None and depth == SCREENED:
            return [index for index in indices if quick(records[index])]
        return [index for index in indices if self._holds(matcher, depth, index)]

    def _holds(self, matcher: Matcher, depth: int, index: int) -> bool:
        position = self.positions[index]
        if self._reader is None:
            self._reader = BatchReader(self._plan.decoding, self._batch)
        text = self._text(index, self._reader)
        try:
            record = (
                self.records[index] if depth == SCREENED else self._reader.record(position, depth)
            )
            return matcher.holds(record, text, self._shared.setdefault(index, {}))
        except RecursionError:
            self._unreadable(position, "too_deep", "the record is nested too deeply")
        except msgspec.DecodeError as error:
            self._unreadable(position, "not_an_object", f"the record cannot be read: {error}")
        return False

    def _text(self, index: int, reader: BatchReader) -> OwnText:
        text = self._texts.get(index)
        if text is None:
            if len(self._texts) >= MAX_TEXTS:
                self._texts.clear()
            read = partial(reader.text, self.positions[index])
            text = self._texts[index] = OwnText(read)
        return text

    def _unreadable(self, position: int, reason: str, message: str) -> None:
        self._result.unreadable[position] = PayloadError(reason, message)


def _read_by(trees: Iterable[Node]) -> Iterator[Selector]:
    for tree in trees:
        yield from selectors(tree)


def _shared(trees: Iterable[Node], first: int) -> dict[Leaf, int]:
    """Return numbers, from `first` on, for the conditions that stand in more than one tree."""
    counts = Counter(leaf for tree in trees for leaf in set(leaves(tree)))
    shared = [leaf for leaf, count in counts.items() if count > 1]
    return {leaf: first + number for number, leaf in enumerate(shared)}


def _screened(trees: Sequence[Node], dispatch: Dispatch, asked: Sequence[float]) -> set[Selector]:
    """Choose the fields to decode of every record: guards, and what saves more than it costs.

    `asked` is, for each tree, the share of records that lie in a batch with a candidate of it.
    """
    chosen = {Selector(names) for names in (EVENT_SOURCE, *dispatch.fields)}
    weight = _weight(chosen)
    for number in sorted(range(len(trees)), key=lambda number: -asked[number]):
        wanted = chosen | set(selectors(trees[number]))
        added = _weight(wanted) - weight
        if added <= asked[number] * SECOND_LOOK_WEIGHT and all(item.names for item in wanted):
            chosen, weight = wanted, weight + added
    return chosen


def _weight(screened: Iterable[Selector]) -> int:
    weight = 0
    for names in {selector.names for selector in screened}:
        is_free_form = len(names) == 1 and names[0] in FREE_FORM_FIELDS
        weight += FREE_FORM_WEIGHT if is_free_form else len(names)
    return weight
