"""Episodes: which windows alert and which belong together depends on the set of windows alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.rules.window import WindowSettings
from detector.windows.episodes import Episode, Series, forget, retire, set_breaching

PERIOD = 300
ONE = WindowSettings()


def series_of(starts: Iterable[int], window: WindowSettings = ONE, quiet: float = 0) -> Series:
    series = Series(PERIOD)
    for start in starts:
        set_breaching(series, start * PERIOD, True, window, quiet)
    return series


def shape(series: Series) -> list[tuple[int, list[int]]]:
    """Return each episode's first window and all of its windows, in periods."""
    return [
        (episode.first // PERIOD, [start // PERIOD for start in episode.windows])
        for episode in series.episodes
    ]


def by_definition(starts: Iterable[int], n: int, m: int, gap: int) -> list[tuple[int, list[int]]]:
    """Form episodes in the plainest way; gap is how many silent periods they bridge."""
    breaching = sorted(set(starts))
    alerting = [w for w in breaching if sum(w - n < other <= w for other in breaching) >= m]
    chains: list[list[int]] = []
    for window in alerting:
        if chains and window - chains[-1][-1] - 1 <= gap:
            chains[-1].append(window)
        else:
            chains.append([window])
    return [(chain[0], chain) for chain in chains]


def test_windows_that_follow_on_one_another_are_one_episode() -> None:
    assert shape(series_of([1, 2, 3, 5, 6])) == [(1, [1, 2, 3]), (5, [5, 6])]


def test_a_silence_shorter_than_the_quiet_time_does_not_end_an_episode() -> None:
    assert shape(series_of([1, 3], quiet=PERIOD)) == [(1, [1]), (3, [3])]
    assert shape(series_of([1, 3], quiet=PERIOD + 1)) == [(1, [1, 3])]


def test_with_m_of_n_an_alert_needs_m_windows_up_to_it() -> None:
    window = WindowSettings(evaluation_periods=3, datapoints_to_alarm=2)
    assert shape(series_of([1], window)) == []
    assert shape(series_of([1, 3], window)) == [(3, [3])]
    assert shape(series_of([1, 4], window)) == []
    assert shape(series_of([4, 1, 3], window)) == [(3, [3, 4])]


@settings(max_examples=2000)
@given(st.data())
def test_any_order_of_the_windows_makes_the_episodes_of_the_definition(data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.integers(0, 25), unique=True, max_size=14))
    n = data.draw(st.integers(1, 4))
    m = data.draw(st.integers(1, n))
    gap = data.draw(st.integers(0, 3))
    window = WindowSettings(evaluation_periods=n, datapoints_to_alarm=m)
    series = series_of(starts, window, quiet=gap * PERIOD + 1)
    assert shape(series) == by_definition(starts, n, m, gap)


@settings(max_examples=2000)
@given(st.data())
def test_windows_that_cease_to_breach_leave_what_would_be_without_them(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 3))
    window = WindowSettings(evaluation_periods=n)
    gap = data.draw(st.integers(0, 2))
    breaching: set[int] = set()
    alerting: set[int] = set()
    series = Series(PERIOD)
    for start, is_breaching in data.draw(
        st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=30)
    ):
        (breaching.add if is_breaching else breaching.discard)(start)
        change = set_breaching(series, start * PERIOD, is_breaching, window, gap * PERIOD + 1)
        alerting |= {item // PERIOD for item in change.raised}
        alerting -= {item // PERIOD for item in change.withdrawn}
        expected = by_definition(breaching, n, n, gap)
        assert shape(series) == expected
        assert alerting == {window for _, chain in expected for window in chain}
        for episode in series.episodes:
            assert episode.told is None or episode.told in episode.windows


def tell(series: Series, start: int) -> Episode:
    """Let receivers hear of a window's episode, if they have not yet."""
    episode = series.episode_of(start * PERIOD)
    assert episode is not None
    if episode.told is None:
        episode.told = start * PERIOD
    return episode


def test_receivers_know_an_episode_by_the_window_that_they_were_told_of_first() -> None:
    series = series_of([5])
    tell(series, 5)
    set_breaching(series, 4 * PERIOD, True, ONE, 0)
    (episode,) = series.episodes
    assert (episode.first, episode.told) == (4 * PERIOD, 5 * PERIOD)


def test_an_episode_that_becomes_part_of_another_is_named() -> None:
    series = series_of([1, 3])
    tell(series, 1)
    tell(series, 3)
    change = set_breaching(series, 2 * PERIOD, True, ONE, 0)
    (episode,) = series.episodes
    assert (episode.first, episode.told) == (PERIOD, PERIOD)
    assert [item.told for item in change.absorbed] == [3 * PERIOD]


def test_an_incident_that_is_open_goes_on_rather_than_one_that_is_over() -> None:
    series = series_of([1, 3])
    tell(series, 1).is_resolved = True
    tell(series, 3)
    change = set_breaching(series, 2 * PERIOD, True, ONE, 0)
    (episode,) = series.episodes
    assert (episode.first, episode.told, episode.is_resolved) == (PERIOD, 3 * PERIOD, False)
    assert change.absorbed == []


def test_an_episode_longer_than_the_retention_keeps_its_first_window_and_its_numbers() -> None:
    series = series_of([1, 2, 3])
    tell(series, 1)
    retire(series, PERIOD, 7)
    retire(series, 2 * PERIOD, 5)
    retire(series, 3 * PERIOD, 1)
    set_breaching(series, 4 * PERIOD, True, ONE, 0)
    (episode,) = series.episodes
    assert (episode.first, episode.told) == (PERIOD, PERIOD)
    assert episode.windows == [3 * PERIOD, 4 * PERIOD]
    assert (episode.earlier, episode.earlier_count) == (2, 12)


def test_where_the_middle_is_past_its_retention_there_are_two_episodes() -> None:
    # The boundary of a stable id: all at once these three would be one episode. The middle one
    # comes when it is not retained any more, so that it is an alert of its own.
    assert shape(series_of([1, 2, 3])) == [(1, [1, 2, 3])]
    assert shape(series_of([1, 3])) == [(1, [1]), (3, [3])]


def test_an_episode_is_forgotten_when_it_is_over_and_nothing_can_join_it() -> None:
    series = series_of([1], quiet=PERIOD)
    forget(series, 9 * PERIOD, PERIOD)
    assert len(series.episodes) == 1
    series.episodes[0].is_resolved = True
    forget(series, 3 * PERIOD - 1, PERIOD)
    assert len(series.episodes) == 1
    forget(series, 3 * PERIOD, PERIOD)
    assert series.episodes == []


@given(st.lists(st.integers(0, 20), unique=True), st.integers(1, 3))
def test_a_series_survives_being_stored_at_any_point(starts: list[int], n: int) -> None:
    window = WindowSettings(evaluation_periods=n)
    kept: Any = Series(PERIOD)
    for start in starts:
        set_breaching(kept, start * PERIOD, True, window, 1)
        kept = msgspec.json.decode(msgspec.json.encode(kept), type=Series)
    assert kept == series_of(starts, window, 1)
