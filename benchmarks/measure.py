"""How benchmarks measure: in turns with a floor, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from isal import isal_zlib


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the floor's time something took: the median of the turns, and its range."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def in_turns(
    work: Callable[[], object],
    floor: Callable[[], object],
    turns: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Ratio, list[float], list[float]]:
    """Run both in turns; return the ratio of their times, and the seconds that each took."""
    floor()
    work()
    floors, works = [], []
    for _ in range(turns):
        floors.append(seconds(floor, clock))
        works.append(seconds(work, clock))
    ratios = [taken / least for taken, least in zip(works, floors, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios)), works, floors


def seconds(
    function: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return how long a function takes, by a clock."""
    start = clock()
    function()
    return clock() - start


class _Dispatched(msgspec.Struct, gc=False):
    eventSource: str | None = None  # noqa: N815
    eventName: str | None = None  # noqa: N815


class _LogFile(msgspec.Struct):
    Records: list[_Dispatched]


def inflate_and_validate(bodies: Sequence[bytes]) -> None:
    """Inflate log files, and validate them as records with an eventSource and an eventName.

    The least that any detector does: it knows afterwards which event each record is.
    """
    validate = msgspec.json.Decoder(_LogFile).decode
    for body in bodies:
        validate(isal_zlib.decompress(body, wbits=31))


def inflate_and_skip(bodies: Sequence[bytes]) -> None:
    """Inflate log files, and go through their JSON without taking anything out of it."""
    skip = msgspec.json.Decoder(msgspec.Raw).decode
    for body in bodies:
        skip(isal_zlib.decompress(body, wbits=31))


def bodies_of(folder: Path) -> list[bytes]:
    """Return the content of a folder's files, in the order of their names."""
    return [path.read_bytes() for path in sorted(folder.iterdir())]
