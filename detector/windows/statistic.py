"""Statistics of a window's matches, exact and independent of the order in which they come.

Pure. A sum of floating-point numbers depends on the order of adding; here it is kept as a fraction,
which every double is.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from fractions import Fraction

import msgspec

from detector.rules.window import MAX_DISTINCT, Statistic, WindowSettings

Sample = int | float | str | None
"""What one match adds: a number; for a distinct count a text; None where it has neither."""

LARGEST = 1.7976931348623157e308
"""What stands for a sum that no double holds."""

LARGEST_EXACT = 1 << 53
"""Up to here a double holds every integer, and so does every reader of JSON."""


class Totals(msgspec.Struct, array_like=True):
    """What is known of the samples; `total` is a fraction in text, `distinct` sorted digests."""

    samples: int = 0
    total: str = "0"
    minimum: float | None = None
    maximum: float | None = None
    distinct: list[int] = []

    def add(self, sample: Sample) -> None:
        """Count one sample; None is none."""
        if sample is None:
            return
        self.samples += 1
        if isinstance(sample, str):
            digest = _digest(sample)
            place = bisect_left(self.distinct, digest)
            if digest not in self.distinct[place : place + 1]:
                self.distinct.insert(place, digest)
                # Of too many the greatest go: what stays does not depend on the order.
                del self.distinct[MAX_DISTINCT + 1 :]
            return
        if isinstance(sample, int) and abs(sample) >= LARGEST_EXACT:
            sample = float(sample)  # as it will be once it was kept
        self.total = str(Fraction(self.total) + Fraction(sample))
        self.minimum = sample if self.minimum is None else min(self.minimum, sample)
        self.maximum = sample if self.maximum is None else max(self.maximum, sample)

    def copy(self) -> Totals:
        """Return another one that changes on its own."""
        return msgspec.structs.replace(self, distinct=list(self.distinct))

    def number(self, statistic: Statistic) -> float | None:
        """Return a statistic, None where there is no sample of which it could be."""
        if statistic == "SampleCount":
            return self.samples
        if statistic == "DistinctCount":
            return len(self.distinct)
        if statistic == "Minimum":
            return self.minimum
        if statistic == "Maximum":
            return self.maximum
        if not self.samples:
            return None
        total = Fraction(self.total)
        return as_number(total if statistic == "Sum" else total / self.samples)


def number_of_matches(count: int, settings: WindowSettings) -> float | None:
    """Return the statistic of so many matches of which each adds the same; None of none."""
    literal = settings.literal
    assert literal is not None  # noqa: S101 - asked only where it is
    if settings.statistic == "SampleCount":
        return count
    if not count:
        return None
    if settings.statistic != "Sum":
        return literal
    total = literal * count
    if abs(total) < LARGEST_EXACT and total == int(total):
        return int(total)  # as a rule each match adds 1: fractions are for what doubles round
    return as_number(Fraction(literal) * count)


def as_number(exact: Fraction) -> float:
    """Return an integer where it is one, else the nearest double, at most the largest."""
    if exact.denominator == 1 and abs(exact.numerator) < LARGEST_EXACT:
        return exact.numerator
    return float(min(max(exact, Fraction(-LARGEST)), Fraction(LARGEST)))


def _digest(text: str) -> int:
    """Return 63 bits, which JSON readers of any kind hold as an integer."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
