"""Episodes: which windows of a rule and group alert, and which of these belong together.

Windows over the threshold between which less than the quiet time passes are one episode. It is
known by the id of its first window's alert. Which windows make an episode, and so its id, depends
on the set of windows alone, whatever the order in which they came to alert, as long as they are
retained: of an episode that reaches further back only its beginning is remembered, and what comes
in for a window that is not retained any more is an alert of its own.

What receivers were told depends on the order, as it must: a page cannot be taken back. They know an
episode by `told`, the first of its windows that was sent to them. It differs from the episode's
first window only if an earlier window came to alert after a later one had been sent.

Everything here is pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from detector.rules.window import WindowSettings


class Episode(msgspec.Struct):
    """Windows that belong together, by their starts in seconds.

    `windows` are the retained ones and at least the last one, sorted. `first` is the start of the
    very first, `earlier` and `earlier_count` the number of those not retained, and of the events in
    them. `told` is the window by whose alert receivers know the episode, None where they do not.
    `is_closed` says that they were told that it is over, though it goes on by what they do not see.
    """

    first: int
    windows: list[int]
    told: int | None = None
    is_resolved: bool = False
    earlier: int = 0
    earlier_count: int = 0
    is_closed: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it is over for those who know of it."""
        return self.is_resolved or self.is_closed

    def end(self, period: int) -> int:
        """Return the first second after its last window."""
        return self.windows[-1] + period


class Series(msgspec.Struct):
    """What there is to know of all windows of a rule and group.

    `breaching` are the starts of those over the threshold, sorted, and kept only where more than
    one of them is needed for an alert.
    """

    period: int
    breaching: list[int] = []
    episodes: list[Episode] = []

    def episode_of(self, start: int) -> Episode | None:
        """Return the episode that a window belongs to, None where it does not alert."""
        for episode in self.episodes:
            place = bisect_left(episode.windows, start)
            if episode.windows[place : place + 1] == [start]:
                return episode
        return None

    @property
    def alerting(self) -> set[int]:
        """The starts of the windows that alert."""
        return {start for episode in self.episodes for start in episode.windows}


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of a window did.

    Windows that alert since, windows that do so no more, episodes that receivers know by another
    name now, and those that they do not know any more: what they were told of was withdrawn.
    """

    raised: Sequence[int] = ()
    withdrawn: Sequence[int] = ()
    absorbed: Sequence[Episode] = ()
    unheard: Sequence[Episode] = ()


def set_breaching(
    series: Series, start: int, breaching: bool, settings: WindowSettings, quiet: float
) -> Change:
    """Note whether a window is over the threshold, and return what follows; changes the series."""
    if settings.evaluation_periods == 1:
        alerting = {start} if breaching else set()
        affected = {start}
        before = affected if series.episode_of(start) is not None else set()
    else:
        place = bisect_left(series.breaching, start)
        known = series.breaching[place : place + 1] == [start]
        if breaching and not known:
            insort(series.breaching, start)
        elif known and not breaching:
            del series.breaching[place]
        reach = start + (settings.evaluation_periods - 1) * series.period
        affected = {start, *_between(series.breaching, start, reach)}
        alerting = {item for item in affected if _is_alerting(series, item, settings)}
        before = series.alerting & affected
    raised, withdrawn = sorted(alerting - before), sorted(before - alerting)
    if not raised and not withdrawn:
        return Change()
    return regroup(series, raised, withdrawn, quiet)


def _is_alerting(series: Series, start: int, settings: WindowSettings) -> bool:
    """Return whether a window is over the threshold, as enough of those up to it are."""
    oldest = start - (settings.evaluation_periods - 1) * series.period
    among = _between(series.breaching, oldest, start)
    return start in among and len(among) >= settings.breaches_to_alarm


def _between(starts: Sequence[int], oldest: int, newest: int) -> Sequence[int]:
    return starts[bisect_left(starts, oldest) : bisect_right(starts, newest)]


def regroup(
    series: Series, raised: Sequence[int], withdrawn: Sequence[int], quiet: float
) -> Change:
    """Add and take away windows, and form the episodes anew; changes the series."""
    changed = [*raised, *withdrawn]
    reach = series.period + quiet
    old: list[Episode] = []
    untouched: list[Episode] = []
    for episode in series.episodes:
        first, last = episode.windows[0], episode.windows[-1]
        near = any(first - reach <= start <= last + reach for start in changed)
        (old if near else untouched).append(episode)
    starts = {start for episode in old for start in episode.windows}
    absorbed: list[Episode] = []
    unheard: list[Episode] = []
    for windows in _chains(sorted((starts | {*raised}) - {*withdrawn}), series.period, quiet):
        parts = [episode for episode in old if not set(windows).isdisjoint(episode.windows)]
        episode = _joined(windows, parts, absorbed)
        untouched.append(episode)
        known = any(part.told is not None and not part.is_over for part in parts)
        if known and episode.told is None and not set(windows) & {*raised}:
            unheard.append(episode)
    series.episodes = sorted(untouched, key=lambda episode: episode.windows[0])
    return Change(raised, withdrawn, absorbed, unheard)


def _chains(starts: Iterable[int], period: int, quiet: float) -> list[list[int]]:
    chains: list[list[int]] = []
    for start in starts:
        if chains and start - (chains[-1][-1] + period) < max(quiet, 1):
            chains[-1].append(start)
        else:
            chains.append([start])
    return chains


def _joined(windows: list[int], parts: Sequence[Episode], absorbed: list[Episode]) -> Episode:
    """Return the episode of windows that were in these parts before, or in none."""
    headed = [part for part in parts if part.windows[0] in windows and part.earlier]
    told = [part for part in parts if part.told is not None and _is_in(part, part.told, windows)]
    # Who is in the middle of an incident goes on with it, rather than hear of another one.
    told.sort(key=lambda part: (part.is_over, part.first))
    absorbed += [part for part in told[1:] if not part.is_over]
    return Episode(
        first=min([windows[0], *(part.first for part in headed)]),
        windows=windows,
        told=told[0].told if told else None,
        is_resolved=bool(parts) and all(part.is_resolved for part in parts),
        is_closed=bool(told) and told[0].is_over,
        earlier=sum(part.earlier for part in headed),
        earlier_count=sum(part.earlier_count for part in headed),
    )


def _is_in(part: Episode, start: int, windows: Collection[int]) -> bool:
    """Return whether a window of a part is among those; one not retained goes with the first."""
    return start in windows or (start not in part.windows and part.windows[0] in windows)


def retire(series: Series, start: int, count: int) -> None:
    """Forget a window that is not retained any more, with its count; changes the series."""
    if start in series.breaching:
        series.breaching.remove(start)
    for episode in series.episodes:
        if start in episode.windows[:-1]:
            episode.windows.remove(start)
            episode.earlier += 1
            episode.earlier_count += count


def forget(series: Series, horizon: float, quiet: float) -> None:
    """Drop episodes that are over and that nothing to come can belong to; changes the series."""
    series.episodes = [
        episode
        for episode in series.episodes
        if not episode.is_resolved or episode.end(series.period) + quiet > horizon
    ]
