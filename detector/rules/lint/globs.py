"""What one pattern of text says of another."""

from __future__ import annotations

from functools import lru_cache

from detector.rules.folding import folded
from detector.rules.oracle import globs
from detector.rules.syntax import Equal, Glob, Like, Test, Wild

_folded = lru_cache(maxsize=4096)(Glob.folded)
"""Each pattern in a long list is compared with each other one."""


def glob_of(test: Test) -> tuple[Glob, bool] | None:
    """Return the glob that a positive test compares with, and whether case matters."""
    if isinstance(test, Equal) and isinstance(test.literal, Glob):
        return test.literal, True
    return (test.glob, test.cased) if isinstance(test, Like) else None


def exact_text(test: Test) -> tuple[str, bool] | None:
    """Return the one text that satisfies a positive test, and whether its case matters."""
    found = glob_of(test)
    if found is None or not found[0].is_exact:
        return None
    return found[0].text, found[1]


def covers(broad: Glob, narrow: Glob) -> bool:
    """Return whether every text that `narrow` describes is one that `broad` describes.

    A wildcard of the narrow glob is taken for a character that only a wildcard stands for.
    """
    if not _may_cover(broad, narrow):
        return False
    symbols: list[str | Wild] = []
    for part in narrow.parts:
        symbols += [part] if isinstance(part, Wild) else part
    places = {0}
    for part in broad.parts:
        if part is Wild.RUN:
            places = set(range(min(places), len(symbols) + 1)) if places else places
        elif part is Wild.ONE:
            places = {
                place + 1
                for place in places
                if place < len(symbols) and symbols[place] is not Wild.RUN
            }
        elif isinstance(part, str):
            places = {
                place + len(part)
                for place in places
                if symbols[place : place + len(part)] == list(part)
            }
    return len(symbols) in places


def _may_cover(broad: Glob, narrow: Glob) -> bool:
    """Return whether the ends allow for it: of the pairs compared, most are out by these."""
    (head, tail), (narrow_head, narrow_tail) = _ends(broad), _ends(narrow)
    return narrow_head.startswith(head) and narrow_tail.endswith(tail)


def is_covered(given: tuple[Glob, bool], wanted: tuple[Glob, bool]) -> bool:
    """Return whether what one glob describes, with case or without, the other does too."""
    if wanted[1]:
        return given[1] and covers(wanted[0], given[0])
    if given[1]:  # a text in lower case can be longer than it was: not for a glob that counts
        return given[0].is_exact and globs(_folded(wanted[0]), folded(given[0].text))
    return covers(_folded(wanted[0]), _folded(given[0]))


def are_apart(one: tuple[Glob, bool], other: tuple[Glob, bool]) -> bool:
    """Return whether two globs want texts to begin, or to end, differently."""
    if one[1] is not other[1]:
        cased = one[0] if one[1] else other[0]
        if not cased.text.isascii():
            return False  # the lower case of a whole text may not end in that of its end
    is_cased = one[1] and other[1]
    (head, tail), (other_head, other_tail) = (
        _ends(glob if is_cased else _folded(glob)) for glob, _ in (one, other)
    )
    return not (
        (head.startswith(other_head) or other_head.startswith(head))
        and (tail.endswith(other_tail) or other_tail.endswith(tail))
    )


def _ends(glob: Glob) -> tuple[str, str]:
    """Return the text before the first wildcard and that behind the last."""
    head, tail = (glob.parts[0], glob.parts[-1]) if glob.parts else ("", "")
    return head if isinstance(head, str) else "", tail if isinstance(tail, str) else ""
