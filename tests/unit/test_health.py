"""Whether a sink works, for any fortune that it may have."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from detector.sinks.health import OPEN_AFTER, PROBE_CAP_SECONDS, Health
from tests.records import NOON

LIMIT = 900.0

events = st.lists(
    st.tuples(
        st.sampled_from(["worked", "refused", "failed"]),
        st.floats(0, 1000),
        st.none() | st.floats(0, 5000),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=60,
)


def take(health: Health, what: str, now: float, after: float | None, chance: float) -> None:
    if what == "worked":
        health.worked()
    elif what == "refused":
        health.refused(now, "400")
    else:
        health.failed(now, "503", after, lambda: chance)


def failed(times: int, now: float = NOON) -> Health:
    health = Health()
    for _ in range(times):
        health.failed(now, "503", None, lambda: 0.5)
    return health


@given(events)
def test_a_sink_is_closed_no_longer_than_it_asks_for_or_than_the_cap(
    fortune: list[tuple[str, float, float | None, float]],
) -> None:
    health, now = Health(), NOON
    in_a_row = 0
    since: float | None = None
    asked = 0.0
    for what, gap, after, chance in fortune:
        now += gap
        before = health.closed_until
        take(health, what, now, after, chance)
        if what == "worked":
            in_a_row, since, asked = 0, None, 0.0
            assert health == Health(is_told=health.is_told)
            continue
        since = now if since is None else since
        if what == "failed":
            in_a_row += 1
            asked = max(asked, now + max(after or 0.0, PROBE_CAP_SECONDS))
            # It is never asked again before the time that it has named.
            assert health.closed_until >= now + (after or 0.0) or not after
        assert (health.failures, health.failing_since) == (in_a_row, since)
        assert health.is_down == (in_a_row >= OPEN_AFTER)
        assert before <= health.closed_until <= asked
        if health.is_down and what == "failed":
            assert health.closed_until > now


def test_a_sink_that_refuses_is_not_taken_to_be_down() -> None:
    health = Health()
    for _ in range(2 * OPEN_AFTER):
        health.refused(NOON, "400")
    assert not health.is_down
    assert health.closed_until <= NOON
    assert health.is_overdue(NOON + LIMIT, LIMIT)


def test_few_failures_hold_up_nothing_but_their_own_alerts() -> None:
    assert failed(OPEN_AFTER - 1).closed_until <= NOON
    assert failed(OPEN_AFTER).closed_until > NOON


@given(st.floats(0, 10 * LIMIT), st.booleans())
def test_others_are_told_once_when_it_has_failed_for_the_stated_time(
    passed: float, is_told: bool
) -> None:
    health = failed(1)
    health.is_told = is_told
    expected = not is_told and NOON + passed - NOON >= LIMIT
    assert health.is_overdue(NOON + passed, LIMIT) == expected
    health.worked()
    assert not health.is_overdue(NOON + passed, LIMIT)


@given(st.integers(0, 9), st.floats(-1e6, 1e6))
def test_a_start_tries_at_once_and_forgets_neither_since_when_nor_who_was_told(
    failures: int, later: float
) -> None:
    health = failed(failures)
    health.is_told = bool(failures)
    kept = msgspec.json.decode(msgspec.json.encode(health), type=Health)
    kept.start(NOON + later)
    assert not kept.is_down
    assert kept.closed_until == 0
    assert kept.is_told == bool(failures)
    assert kept.failing_since == (min(NOON, NOON + later) if failures else None)
