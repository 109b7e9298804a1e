"""What has been heard of each trail, and which have fallen silent.

Nothing here reads a clock or does I/O; the time is an argument. It is not trusted either: a clock
may be set, a machine be put to sleep, a queue be out of reach and come back with hours of files in
no order. So a silence is not the difference of two times but what adds up while somebody listens:

- the detector as a whole is silent by the time *listened*: no pause between two calls counts for
  more than a quarter of `after`, and a step back for nothing;
- a trail is silent by the time *moved*, the part of it up to the latest delivery of anything. A
  pause between two deliveries counts for a quarter of `after` at most: while nothing comes at all,
  the silence is everybody's, and when all of it comes at once, the last in the row is not to blame.

Both begin at nothing with each start: time in which the service did not run counts for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from detector.envelopes.log_file import Trail

STRIDE_SHARE = 0.25
"""The most that one pause may count for, of `after`. Larger, and an outage of the queue nearly
makes a silence by itself; smaller, and where files are rare a silence takes long to be found."""

LEARNED_DELIVERIES = 20
"""What is heard less often has no habits yet."""

LEARNED_SECONDS = 7 * 86_400.0
"""How long a trail is heard before its silence means anything, where it is not listed: only a whole
week has seen a night and a weekend, in which nobody works in that region."""

GAPS = 3.0
"""A trail that was learned is silent after so many times its longest gap: the longest yet is soon
followed by one a little longer, and a false page costs more than a late one."""

GAP_HALF_LIFE_SECONDS = 7 * 86_400.0
"""In this time the longest gap counts for half. What comes every week, such as a weekend, is still
remembered when it comes again; one outage is forgotten in a month."""

FORGOTTEN_SECONDS = 7 * 86_400.0
"""When a trail that is not listed is forgotten, counted from the report of its silence. By then
somebody has seen to it, or the region is not used any more."""

RARE_SECONDS = 30 * 86_400.0
"""When a trail that is neither listed nor reported is forgotten: its habit, if it has one, is so
rare that its silence would be found after months."""

MAX_TRAILS = 10_000
"""Trails learned: 300 accounts in all of some thirty regions. Each takes some hundred bytes of
memory, and less in the state, which is written once a minute."""


class Silence(msgspec.Struct, frozen=True, array_like=True):
    """A silence that was reported; times are in seconds since the epoch.

    It began `since`, when something was last heard, or when listening began; it was found after
    `limit` seconds of listening, and is over once it has `ended`.
    """

    since: float
    found: float
    limit: float
    ended: float | None = None


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one trail.

    `last` is when it was last heard, in seconds since the epoch; `span` and `longest_gap` are in
    seconds of time moved.
    """

    last: float | None = None
    deliveries: int = 0
    span: float = 0.0
    longest_gap: float = 0.0
    silence: Silence | None = None


class Known(msgspec.Struct, frozen=True):
    """All that a restart must not lose: of the detector as a whole, and of each trail."""

    whole: Heard = Heard()
    trails: list[tuple[str, str, Heard]] = []


@dataclass(frozen=True, slots=True)
class Attention:
    """What to pay attention to; `after` is in seconds, 1 at least."""

    after: float
    learn: bool = True
    expected: frozenset[Trail] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """A silence that began, or that ended; of the detector as a whole where `trail` is None."""

    trail: Trail | None
    silence: Silence


class Hearing:
    """Takes note of deliveries, and tells silences when asked. The same calls, the same answers."""

    def __init__(self, attention: Attention, known: Known, now: float) -> None:
        self._attention = attention
        self._since = now
        self._now = now
        self._stride = attention.after * STRIDE_SHARE
        self._listened = 0.0
        self._moved = 0.0
        self._latest = 0.0
        """What `listened` was when anything was last heard."""
        self._whole = known.whole
        self._trails = {Trail(account, region): heard for account, region, heard in known.trails}
        for trail in attention.expected:
            self._trails.setdefault(trail, Heard())
        self._marks: dict[Trail, float] = {}
        """What `moved` was when a trail was last heard; 0 where it was not since the start."""

    def heard(self, trails: Iterable[Trail], now: float) -> int:
        """Take note of a delivery, of these trails or of none.

        Returns how many of them are not kept track of because `MAX_TRAILS` are.
        """
        self._listen(now)
        self._moved += min(self._listened - self._latest, self._stride)
        self._latest = self._listened
        self._whole = _after_delivery(self._whole, 0.0, now)
        unheeded = 0
        for trail in trails:
            heard = self._trails.get(trail)
            if heard is None:
                if not self._attention.learn:
                    continue
                if len(self._trails) - len(self._attention.expected) >= MAX_TRAILS:
                    unheeded += 1
                    continue
                heard = Heard()
            gap = self._moved - self._marks.get(trail, 0.0) if heard.deliveries else 0.0
            self._trails[trail] = _after_delivery(heard, gap, now)
            self._marks[trail] = self._moved
        return unheeded

    def look(self, now: float) -> list[Change]:
        """Return the silences that began or ended since the last look, each of them once."""
        self._listen(now)
        changes = []
        self._whole, change = self._change(
            None, self._whole, self._listened - self._latest, self._attention.after
        )
        if change is not None:
            changes.append(change)
        for trail, heard in sorted(self._trails.items()):
            quiet = self._moved - self._marks.get(trail, 0.0)
            new, change = self._change(trail, heard, quiet, self._limit(trail, heard))
            if change is not None:
                self._trails[trail] = new
                changes.append(change)
            elif self._is_forgotten(trail, heard):
                del self._trails[trail]
                self._marks.pop(trail, None)
        return changes

    def known(self) -> Known:
        """Return what is to be kept for the next start."""
        return Known(self._whole, [(*trail, heard) for trail, heard in self._trails.items()])

    def counts(self) -> tuple[int, int]:
        """Return how many trails are heard, and how many are silent."""
        silent = sum(heard.silence is not None for heard in self._trails.values())
        never = sum(heard.last is None and heard.silence is None for heard in self._trails.values())
        return len(self._trails) - silent - never, silent

    def _listen(self, now: float) -> None:
        self._listened += min(max(now - self._now, 0.0), self._stride)
        self._now = now

    def _limit(self, trail: Trail, heard: Heard) -> float | None:
        """Return after how long a trail is silent, in seconds moved; None if it cannot be yet."""
        if trail in self._attention.expected:
            return self._attention.after
        is_learned = heard.deliveries >= LEARNED_DELIVERIES and heard.span >= LEARNED_SECONDS
        if not self._attention.learn or not is_learned:
            return None
        return max(self._attention.after, GAPS * heard.longest_gap)

    def _change(
        self, trail: Trail | None, heard: Heard, quiet: float, limit: float | None
    ) -> tuple[Heard, Change | None]:
        """Return what is known after a look, and what has changed by it."""
        silence = heard.silence
        if silence is not None:
            if silence.ended is None:
                return heard, None
            return msgspec.structs.replace(heard, silence=None), Change(trail, silence)
        if limit is None or quiet < limit:
            return heard, None
        since = self._since if heard.last is None else heard.last
        silence = Silence(since, max(self._now, since), limit)
        return msgspec.structs.replace(heard, silence=silence), Change(trail, silence)

    def _is_forgotten(self, trail: Trail, heard: Heard) -> bool:
        if trail in self._attention.expected:
            return False
        if heard.silence is not None:
            return self._now - heard.silence.found >= FORGOTTEN_SECONDS
        if heard.last is None or not self._attention.learn:
            return True  # it was listed, or learned, under an earlier configuration
        return self._now - heard.last >= RARE_SECONDS


def _after_delivery(heard: Heard, gap: float, now: float) -> Heard:
    """Return what is known once more was heard, after a gap in seconds moved."""
    silence = heard.silence
    if silence is not None and silence.ended is None:
        silence = msgspec.structs.replace(silence, ended=max(now, silence.since))
    faded = heard.longest_gap * 0.5 ** (gap / GAP_HALF_LIFE_SECONDS)
    # Milliseconds are enough, and make the state a quarter smaller.
    span, longest = round(heard.span + gap, 3), round(max(gap, faded), 3)
    return Heard(round(now, 3), heard.deliveries + 1, span, longest, silence)
