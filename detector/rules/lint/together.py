"""What only shows when all rules are looked at: one that makes another needless, a name of none."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import msgspec

from detector.rules.finding import Finding
from detector.rules.folding import folded
from detector.rules.lint.globs import exact_text
from detector.rules.lint.implication import Budget, flat, implies
from detector.rules.lint.subject import place_of
from detector.rules.loader import LoadedRules
from detector.rules.rule import Level, Rule
from detector.rules.syntax import And, Condition, Node, Or, Step

MAX_STEPS = 500_000
"""Steps of reasoning about all pairs of rules: a second. The index leaves a handful of pairs for
each rule that asks for particular values; only a thousand rules that ask for none come near."""

_LEVELS: Mapping[str, int] = {level: number for number, level in enumerate(get_args(Level))}

_Value = tuple[tuple[Step, ...], str]
"""A field's steps, and a text that it must have, in lower case."""


def shadow_findings(loaded: LoadedRules) -> Iterator[tuple[Rule, Finding]]:
    """Yield each rule that another one makes needless, with the finding.

    That is so if the other matches whatever this one does, counts it alike, and alerts at the same
    level or above. A rule that a correlation is about is there for that, and left alone.
    """
    correlated = {member for item in loaded.correlations for member in item.members}
    alike: dict[object, list[Rule]] = {}
    for rule in loaded.rules:
        if rule.notifies and rule.id not in correlated:
            window = rule.file.window
            by = frozenset(selector.steps for _, selector in rule.group_by)
            key = (msgspec.structs.replace(window, group_by=()), by)
            alike.setdefault(key, []).append(rule)
    for rules in alike.values():
        for rule, other in _shadows(rules):
            yield (
                rule,
                Finding(
                    "shadowed-rule",
                    f"whatever this rule matches, {other.file.title} ({other.id}) matches too",
                    place_of(rule.document, rule.path, _section(rule)),
                    "remove it, or give it a higher level or a window of its own",
                ),
            )


def _shadows(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    trees = [rule.tree for rule in rules]
    index = _Index(trees)
    levels = [_LEVELS[rule.file.level] for rule in rules]
    budget = Budget(MAX_STEPS)
    for number, tree in enumerate(trees):
        if budget.left <= 0:
            return
        for other in index.candidates(tree):
            if other == number or levels[other] < levels[number]:
                continue
            # Of two that match the same at the same level, the one that comes first stays.
            is_first = other < number or levels[other] > levels[number]
            if implies(tree, trees[other], budget) and (
                is_first or not implies(trees[other], tree)
            ):
                yield rules[number], rules[other]
                break


class _Index:
    """From a tree to the few others, by number, that could hold wherever it does.

    Each tree is found by the values of that one of its conditions whose values are rarest.
    """

    def __init__(self, trees: Sequence[Node]) -> None:
        needs = [list(_needs(tree)) for tree in trees]
        counts = Counter(value for need in needs for values in need for value in values)
        self._by_value: dict[_Value, list[int]] = {}
        self._others: list[int] = []
        for number, need in enumerate(needs):
            if not need:
                self._others.append(number)
                continue
            rarest = min(need, key=lambda values: max(counts[value] for value in values))
            for value in rarest:
                self._by_value.setdefault(value, []).append(number)

    def candidates(self, tree: Node) -> list[int]:
        """Return the numbers of the trees that this one could imply, and of more."""
        found = set(self._others)
        for value in self._case(tree):
            found.update(self._by_value.get(value, ()))
        return sorted(found)

    def _case(self, tree: Node) -> frozenset[_Value]:
        """Return all values of one case in which a tree holds: the one that finds fewest others.

        Another tree that holds in every case holds in this one, and needs one of these values.
        """
        if isinstance(tree, Or):
            cases = [self._case(arm) for arm in tree.operands]
            return min(cases, key=self._count, default=frozenset())
        if isinstance(tree, And):
            return frozenset().union(*map(self._case, tree.operands))
        value = _value(tree)
        return frozenset() if value is None else frozenset({value})

    def _count(self, values: frozenset[_Value]) -> int:
        return sum(len(self._by_value.get(value, ())) for value in values)


def _needs(tree: Node) -> Iterator[frozenset[_Value]]:
    """Yield sets of values of which a record must have one each."""
    for operand in flat(tree) if isinstance(tree, And) else (tree,):
        arms = list(flat(operand)) if isinstance(operand, Or) else [operand]
        values = [_value(arm) for arm in arms]
        if values and None not in values:
            yield frozenset(value for value in values if value is not None)


def _value(node: Node) -> _Value | None:
    if not isinstance(node, Condition):
        return None
    exact = exact_text(node.test)
    return None if exact is None else (node.selector.steps, folded(exact[0]))


def reference_findings(loaded: LoadedRules) -> Iterator[Finding]:
    """Yield the names in filters that no rule has which is loaded."""
    rules = [rule.file for rule in (*loaded.rules, *loaded.foreign)]
    known = {name for file in rules for name in (file.id, file.name) if name}
    correlations = [item.file for item in loaded.correlations]
    correlated = {name for file in correlations for name in (file.id, file.name) if name}
    for item in loaded.filters:
        references = item.file.filter["rules"]
        for position, name in enumerate(references if isinstance(references, list) else ()):
            if name in known:
                continue
            place = place_of(item.document, item.path, "filter", "rules", position)
            if name in correlated:
                message = f"{name} is a correlation: exceptions are made from rules"
                remedy: str | None = "name the rules that it is about"
            else:
                message = f"no rule that is loaded has the id or name {name}"
                near = difflib.get_close_matches(name, known, n=1)
                remedy = f"did you mean {near[0]}?" if near else "load the rule too, or remove it"
            yield Finding("unknown-reference", message, place, remedy)


def foreign_findings(loaded: LoadedRules) -> Iterator[tuple[Rule, Finding]]:
    """Yield the rules for other logs than CloudTrail's, each with its finding."""
    for rule in loaded.foreign:
        source = rule.file.logsource
        words = {
            "category": source.category,
            "product": source.product,
            "service": source.service,
        }
        named = ", ".join(f"{word} {value}" for word, value in words.items() if value is not None)
        yield (
            rule,
            Finding(
                "foreign-logsource",
                f"the rule is for logs of {named}: no CloudTrail record ever matches it",
                place_of(rule.document, rule.path, "logsource"),
                "remove it from the rules that are loaded, or put its logsource right",
            ),
        )


def _section(rule: Rule) -> str:
    return "pattern" if rule.file.pattern is not None else "detection"
