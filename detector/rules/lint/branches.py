"""Parts of a tree that never decide anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from detector.rules.finding import Finding
from detector.rules.folding import folded
from detector.rules.lint.globs import exact_text, glob_of
from detector.rules.lint.implication import contradicts, flat, implies
from detector.rules.lint.spelling import spelled
from detector.rules.lint.subject import Subject
from detector.rules.syntax import And, Condition, Like, Node, Not, Or

_WORD = re.compile(r"[A-Za-z0-9_*-]+")
_QUANTIFIERS = frozenset({"1", "any", "all"})


def branch_findings(subject: Subject) -> Iterator[Finding]:
    """Yield what in a subject can never hold, never makes a difference, or is never used."""
    yield from _branches(subject, subject.tree, ())
    used = _used_searches(subject)
    for name in subject.searches:
        if name not in used:
            yield subject.finding(
                "unreachable-branch",
                f"the condition does not use the search {name}",
                subject.place_of_key(name),
                "use it in the condition, or remove it",
            )


def _branches(subject: Subject, node: Node, known: tuple[Node, ...]) -> Iterator[Finding]:
    """Look at a node; `known` are single conditions that must hold together with it."""
    if isinstance(node, Not):
        reason = _refuting(node.operand, known)
        if reason is not None:
            yield _never(subject, node.operand, reason)
        else:
            yield from _branches(subject, node.operand, known)
    elif isinstance(node, And):
        yield from _operands(subject, list(flat(node)), known)
    elif isinstance(node, Or):
        yield from _arms(subject, list(flat(node)), known)


def _operands(
    subject: Subject, operands: Sequence[Node], known: tuple[Node, ...]
) -> Iterator[Finding]:
    standing: list[Node] = []
    for operand in operands:
        reason = _refuting(operand, (*known, *standing))
        if reason is not None:
            yield _never(subject, operand, reason)
        else:
            standing.append(operand)
    facts = [operand for operand in standing if isinstance(operand, (Condition, Not))]
    for operand in standing:
        beside = (*known, *(fact for fact in facts if fact is not operand))
        # A negation can exclude what the other conditions ask for only together.
        if isinstance(operand, Not) and beside and implies(And(beside), operand.operand):
            yield _never(subject, operand, And(beside))
        else:
            yield from _branches(subject, operand, beside)


def _arms(subject: Subject, arms: Sequence[Node], known: tuple[Node, ...]) -> Iterator[Finding]:
    seen: set[Node] = set()
    all_arms = set(arms)
    wide = _Wide(arms)
    for arm in arms:
        reason = _refuting(arm, known)
        wider = _enough_alone(arm, all_arms) or wide.wider_than(arm)
        key = _folded(arm)
        if reason is not None:
            yield _never(subject, arm, reason)
        elif key in seen:
            yield _idle(subject, arm, f"{spelled(arm)} stands here for the second time")
        elif wider is not None:
            yield _idle(subject, arm, f"{spelled(arm)} adds nothing to {spelled(wider)}")
        else:
            yield from _branches(subject, arm, known)
        seen.add(key)


class _Wide:
    """Of many arms those that can hold whenever another does: all but exact values.

    For long lists of patterns, each is known by a text that whatever it covers must hold too.
    """

    def __init__(self, arms: Sequence[Node]) -> None:
        self._arms = [
            (arm, _needed_text(arm))
            for arm in arms
            if not isinstance(arm, Condition) or exact_text(arm.test) is None
        ]

    def wider_than(self, arm: Node) -> Node | None:
        """Return an arm that holds whenever this one does; of two alike neither is wider."""
        glob = glob_of(arm.test) if isinstance(arm, Condition) else None
        text = None if glob is None else folded(glob[0].text)
        for item, needed in self._arms:
            if item is arm or (text is not None and needed not in text):
                continue
            if implies(arm, item) and not implies(item, arm):
                return item
        return None


def _needed_text(arm: Node) -> str:
    """Return the longest piece of a pattern; nothing of any other condition."""
    glob = glob_of(arm.test) if isinstance(arm, Condition) else None
    pieces = [part for part in glob[0].parts if isinstance(part, str)] if glob is not None else []
    return folded(max(pieces, key=len, default=""))


def _refuting(node: Node, known: Sequence[Node]) -> Node | None:
    return next((fact for fact in known if contradicts(fact, node)), None)


def _enough_alone(arm: Node, arms: set[Node]) -> Node | None:
    """Return what an arm asks for, beside other things, and another arm asks for alone."""
    parts = flat(arm) if isinstance(arm, And) else ()
    return next((part for part in parts if part in arms), None)


def _never(subject: Subject, node: Node, reason: Node) -> Finding:
    return subject.finding(
        "unreachable-branch",
        f"{spelled(node)} cannot hold beside {spelled(reason)}",
        node,
        "remove one of the two, or let either be enough",
    )


def _idle(subject: Subject, arm: Node, message: str) -> Finding:
    return subject.finding("unreachable-branch", message, arm, "remove it")


def _folded(arm: Node) -> Node:
    """Return what two arms that hold for the same values have in common."""
    if isinstance(arm, Condition) and isinstance(arm.test, Like) and not arm.test.cased:
        return Condition(arm.selector, Like(arm.test.glob.folded()))
    return arm


def _used_searches(subject: Subject) -> set[str]:
    """Return the names of the searches that the conditions reach, as pySigma resolves them."""
    names = list(subject.searches)
    used: set[str] = set()
    for condition in subject.conditions if names else ():
        words = _WORD.findall(condition)
        for number, word in enumerate(words):
            if words[number - 1 : number] == ["of"] and words[number - 2] in _QUANTIFIERS:
                used.update(name for name in names if _is_meant(name, word))
            else:
                used.add(word)
    return used


def _is_meant(name: str, pattern: str) -> bool:
    """Return whether `1 of pattern` means a search; names that begin with _ are hidden from it."""
    if name.startswith("_") and not pattern.startswith("_"):
        return False
    expression = ".*".join(map(re.escape, pattern.split("*")))
    return pattern == "them" or re.fullmatch(expression, name) is not None
