"""Changes of what a document says, not of its bytes: most changed bytes are only a syntax error."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

Mutate = Callable[[bytes, int], bytes]
"""libFuzzer's own change of some bytes, to at most so many."""

Mutator = Callable[[bytes, int, int], bytes]
"""What libFuzzer calls instead: with the bytes, how many they may become, and a seed."""

MAX_PLACES = 2_000


def mutator(
    read: Callable[[bytes], Any],
    write: Callable[[Any], bytes],
    values: Sequence[object],
    mutate: Mutate,
) -> Mutator:
    """Return a mutator of documents that `read` makes plain data of, and `write` documents again.

    Every other time, and where there is no data to change, bytes change.
    """

    def changed(document: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)  # noqa: S311
        if random.random() < 0.5:
            return mutate(document, most)
        try:
            data = [read(document)]
            for _ in range(random.randint(1, 3)):
                _change(data, random, values, mutate)
            written = write(data[0])
        except Exception:  # noqa: BLE001 - whatever a parser raises: it is not the one under test
            return mutate(document, most)
        return written if len(written) <= most else mutate(document, most)

    return changed


def _change(data: list[Any], random: Random, values: Sequence[object], mutate: Mutate) -> None:
    places = list(_places(data))
    container, key = random.choice(places)
    other, other_key = random.choice(places)
    old = container[key]
    match random.randrange(6):
        case 0:
            container[key] = copy.deepcopy(random.choice(values))
        case 1:
            container[key] = copy.deepcopy(other[other_key])
        case 2:
            container[key] = random.choice([[old], [old, old], [], {"x": old}, [[old]]])
        case 3 if container is not data:
            del container[key]
        case 4 if isinstance(container, dict):
            name = random.choice([value for value in values if isinstance(value, str)])
            container[name] = container.pop(key)
        case _ if isinstance(old, str):
            container[key] = mutate(old.encode(), len(old) + 16).decode(errors="replace")


def _places(data: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield where values stand: some of them, since an alias in YAML can make them endless."""
    pending: list[Any] = [data]
    count = 0
    while pending and count < MAX_PLACES:
        container = pending.pop()
        keys = range(len(container)) if isinstance(container, list) else list(container)
        for key in keys:
            count += 1
            yield container, key
            if isinstance(container[key], (dict, list)):
                pending.append(container[key])
