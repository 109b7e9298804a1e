"""Which trails have fallen silent: by what is heard, whatever the clock does."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.envelopes.log_file import Trail
from detector.windows import hearing
from detector.windows.hearing import (
    FORGOTTEN_SECONDS,
    GAPS,
    LEARNED_DELIVERIES,
    LEARNED_SECONDS,
    RARE_SECONDS,
    Attention,
    Change,
    Heard,
    Hearing,
    Known,
    Silence,
)

A = Trail("111122223333", "us-east-1")
B = Trail("444455556666", "us-east-1")
C = Trail("444455556666", "eu-central-1")
START = 1_800_000_000.0
AFTER = 3600.0
STEP = 300.0
"""Seconds between two deliveries, as CloudTrail makes them."""

LISTED = Attention(AFTER, expected=frozenset({A}))


def begun(changes: Iterable[Change]) -> list[Trail | None]:
    return [change.trail for change in changes if change.silence.ended is None]


def ended(changes: Iterable[Change]) -> list[Trail | None]:
    return [change.trail for change in changes if change.silence.ended is not None]


class Clock:
    """A hearing, and the time that passes for it."""

    def __init__(
        self, attention: Attention = LISTED, known: Known | None = None, now: float = START
    ) -> None:
        self.now = now
        self.hearing = Hearing(attention, known or Known(), now)
        self.changes: list[Change] = []

    def look(self) -> list[Change]:
        found = self.hearing.look(self.now)
        self.changes += found
        return found

    def pass_by(self, seconds: float, *trails: Trail, step: float = STEP) -> list[Change]:
        """Let time pass; every step brings a delivery of each trail, if any, and a look."""
        found = []
        for _ in range(int(seconds / step)):
            self.now += step
            for trail in trails:
                self.hearing.heard([trail], self.now)
            found += self.look()
        return found

    def restarted(self, attention: Attention = LISTED, *, off: float = 0.0) -> Clock:
        """Return the next process's: what the state holds went through JSON."""
        known = msgspec.json.decode(msgspec.json.encode(self.hearing.known()), type=Known)
        return Clock(attention, known, self.now + off)


def learned(trail: Trail = B, attention: Attention | None = None, gap: float = STEP) -> Clock:
    """Return a hearing that has learned a trail, and that hears A as well."""
    clock = Clock(attention or Attention(AFTER))
    for _ in range(int(LEARNED_SECONDS / gap) + 1):
        clock.hearing.heard([trail], clock.now)
        assert clock.pass_by(gap, A) == []
    return clock


def test_a_listed_trail_that_falls_silent_is_found_once_and_its_return_once() -> None:
    clock = Clock()
    assert clock.pass_by(2 * AFTER, A, B) == []
    last = clock.now
    assert clock.pass_by(AFTER - STEP, B) == []
    (change,) = clock.pass_by(STEP, B)
    assert change == Change(A, Silence(last, last + AFTER, AFTER))
    assert clock.pass_by(10 * AFTER, B) == []
    clock.hearing.heard([A], clock.now + 1)
    clock.hearing.heard([A], clock.now + 9)
    (change,) = clock.look()
    assert change == Change(A, Silence(last, last + AFTER, AFTER, ended=clock.now + 1))
    assert clock.pass_by(AFTER, A, B) == []


def test_a_listed_trail_that_was_never_heard_is_silent_since_listening_began() -> None:
    clock = Clock()
    (change,) = clock.pass_by(2 * AFTER, B)
    assert change == Change(A, Silence(START, START + AFTER, AFTER))


def test_when_nothing_at_all_is_heard_there_is_one_silence_and_not_one_for_each_trail() -> None:
    clock = Clock(Attention(AFTER, expected=frozenset({A, B, C})))
    clock.pass_by(AFTER, A, B, C)
    last = clock.now
    (change,) = clock.pass_by(50 * AFTER)
    assert change == Change(None, Silence(last, last + AFTER, AFTER))
    (change,) = clock.pass_by(STEP, A, B, C)
    assert (change.trail, change.silence.ended) == (None, clock.now)
    assert clock.pass_by(AFTER, A, B, C) == []


def test_a_detector_that_never_hears_anything_says_so() -> None:
    clock = Clock(Attention(AFTER))
    assert clock.pass_by(AFTER - STEP) == []
    assert begun(clock.pass_by(STEP)) == [None]


def test_a_delivery_of_no_trail_is_heard_and_moves_the_others_silence() -> None:
    clock = Clock()
    for _ in range(int(AFTER / STEP) - 1):
        clock.now += STEP
        clock.hearing.heard([], clock.now)
        assert clock.look() == []
    clock.now += STEP
    clock.hearing.heard([], clock.now)
    assert begun(clock.look()) == [A]


def test_a_learned_trail_is_silent_after_three_times_its_longest_gap() -> None:
    clock = learned(gap=2 * AFTER)
    clock.hearing.heard([B], clock.now)
    assert clock.pass_by(2 * AFTER * GAPS - STEP, A) == []
    (change,) = clock.pass_by(STEP, A)
    assert (change.trail, change.silence.limit) == (B, 2 * AFTER * GAPS)


def test_a_learned_trail_that_is_heard_often_is_silent_after_what_is_configured() -> None:
    clock = learned()
    clock.hearing.heard([B], clock.now)
    assert clock.pass_by(AFTER - STEP, A) == []
    assert begun(clock.pass_by(STEP, A)) == [B]


@pytest.mark.parametrize(
    "heard",
    [
        Heard(START, LEARNED_DELIVERIES - 1, LEARNED_SECONDS, STEP),
        Heard(START, LEARNED_DELIVERIES, LEARNED_SECONDS - 1, STEP),
    ],
)
def test_a_trail_without_a_history_is_not_missed(heard: Heard) -> None:
    enough = Heard(START, LEARNED_DELIVERIES, LEARNED_SECONDS, STEP)
    for known, silent in ((heard, []), (enough, [B])):
        clock = Clock(Attention(AFTER), Known(trails=[(*B, known)]))
        assert begun(clock.pass_by(5 * AFTER, A)) == silent


def test_the_longest_gap_fades_to_half_in_a_week_but_a_weekend_is_remembered_to_the_next() -> None:
    weekend, week = 62 * 3600.0, 7 * 86_400.0
    clock = learned()
    clock.hearing.heard([B], clock.now)
    clock.pass_by(weekend, A)
    clock.pass_by(week - weekend, A, B)
    (known,) = (heard for *trail, heard in clock.hearing.known().trails if Trail(*trail) == B)
    assert weekend / 2 < known.longest_gap < weekend
    assert begun(clock.pass_by(weekend, A)) == []


def test_with_learning_off_only_listed_trails_are_kept_track_of() -> None:
    clock = Clock(Attention(AFTER, learn=False, expected=frozenset({A})))
    clock.pass_by(AFTER, A, B)
    assert clock.hearing.counts() == (1, 0)
    assert clock.hearing.heard([B], clock.now) == 0
    before = learned().restarted(Attention(AFTER, learn=False))
    assert before.pass_by(10 * AFTER, A) == []
    assert before.hearing.counts() == (0, 0)


def test_a_reported_trail_is_forgotten_after_a_week_unless_it_is_listed() -> None:
    for expected, counts in ((frozenset({B}), (1, 1)), (frozenset(), (1, 0))):
        clock = learned(attention=Attention(AFTER, expected=expected))
        assert begun(clock.pass_by(2 * AFTER, A)) == [B]
        assert clock.hearing.counts() == (1, 1)
        clock.pass_by(FORGOTTEN_SECONDS, A)
        assert clock.hearing.counts() == counts


def test_a_rare_trail_is_forgotten_unreported() -> None:
    clock = Clock(Attention(AFTER))
    clock.hearing.heard([B], clock.now)
    assert clock.pass_by(RARE_SECONDS - AFTER, A, step=AFTER / 4) == []
    assert clock.hearing.counts() == (2, 0)
    assert clock.pass_by(2 * AFTER, A) == []
    assert clock.hearing.counts() == (1, 0)


def test_a_trail_that_is_listed_no_more_and_was_never_heard_is_forgotten() -> None:
    clock = Clock().restarted(Attention(AFTER))
    clock.pass_by(STEP)
    assert clock.hearing.known().trails == []


def test_no_more_trails_are_learned_than_there_is_room_for_but_listed_ones_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hearing, "MAX_TRAILS", 1)
    clock = Clock()
    assert [clock.hearing.heard([trail], START) for trail in (B, C, B, A)] == [0, 1, 0, 0]
    assert clock.hearing.counts() == (2, 0)


def test_a_silence_goes_on_over_a_restart_without_being_told_again() -> None:
    clock = Clock()
    clock.pass_by(AFTER, A, B)
    last = clock.now
    clock.pass_by(AFTER, B)
    assert begun(clock.changes) == [A]
    clock = clock.restarted(off=5 * AFTER)
    assert clock.pass_by(5 * AFTER, B) == []
    (change,) = clock.pass_by(STEP, A, B)
    assert (change.silence.since, change.silence.ended) == (last, clock.now)


def test_an_end_that_was_heard_before_a_restart_is_told_after_it() -> None:
    clock = Clock()
    clock.pass_by(AFTER, B)
    clock.hearing.heard([A], clock.now)
    assert ended(clock.restarted().look()) == [A]


def test_time_in_which_the_service_did_not_run_counts_for_nobody() -> None:
    clock = Clock(Attention(AFTER, expected=frozenset({A, B})))
    clock.pass_by(AFTER, A, B)
    clock.pass_by(AFTER - STEP, B)
    clock = clock.restarted(Attention(AFTER, expected=frozenset({A, B})), off=100 * AFTER)
    assert clock.look() == []
    assert clock.pass_by(AFTER - STEP, B) == []
    assert begun(clock.pass_by(STEP, B)) == [A]


def test_a_machine_that_slept_or_a_clock_set_forward_makes_no_silence() -> None:
    clock = Clock()
    clock.pass_by(AFTER, A, B)
    clock.now += 100 * AFTER
    assert clock.look() == []
    assert clock.pass_by(AFTER / 2, A, B) == []


def test_an_outage_of_the_queue_that_ends_with_one_trail_blames_no_other() -> None:
    clock = Clock()
    clock.pass_by(AFTER, A, B)
    assert begun(clock.pass_by(5 * AFTER)) == [None]
    assert ended(clock.pass_by(AFTER / 2, B)) == [None]
    assert clock.pass_by(AFTER, A, B) == []


def test_trails_that_fall_silent_together_are_told_in_their_own_order() -> None:
    enough = Heard(START, LEARNED_DELIVERIES, LEARNED_SECONDS, STEP)
    for learned_first in ((B, C), (C, B)):
        known = Known(trails=[(*trail, enough) for trail in learned_first])
        assert begun(Clock(Attention(AFTER), known).pass_by(AFTER, A)) == [C, B]


def test_where_all_is_rare_a_silence_is_found_all_the_same() -> None:
    clock = Clock()
    changes = []
    for _ in range(4):
        changes += clock.pass_by(AFTER / 2)
        clock.hearing.heard([B], clock.now)
        changes += clock.look()
    assert begun(changes) == [A]


def test_a_clock_set_back_makes_no_silence_and_keeps_none_from_being_found() -> None:
    clock = Clock()
    clock.pass_by(AFTER, A, B)
    clock.now -= 1000 * AFTER
    assert clock.pass_by(AFTER - STEP, B) == []
    (change,) = clock.pass_by(STEP * 2, B)
    assert change.trail == A
    assert change.silence.found >= change.silence.since
    assert begun(clock.pass_by(2 * AFTER)) == [None]
    clock.hearing.heard([A], clock.now)
    silences = [change.silence for change in clock.look()]
    assert all(item.ended is not None and item.ended >= item.since for item in silences)
    assert len(silences) == 2


# What holds for any course of events.

TRAILS = st.sampled_from([A, B, C])
COURSES = st.lists(
    st.tuples(
        st.floats(0, 3 * AFTER),
        st.sampled_from(["heard", "heard", "look", "restart"]),
        st.sets(TRAILS),
    ),
    max_size=60,
)
ALL = Attention(AFTER, expected=frozenset({A, B, C}))


@given(st.lists(st.floats(0, AFTER * 0.999), max_size=60), st.randoms(use_true_random=False))
def test_a_trail_that_is_heard_in_time_is_never_silent(
    pauses: list[float], chance: random.Random
) -> None:
    clock = Clock(ALL)
    for pause in pauses:
        for part in sorted(chance.random() for _ in range(3)):
            at = clock.now + pause * part
            if chance.random() < 0.5:
                clock.hearing.heard(chance.sample([B, C], chance.randint(0, 2)), at)
            clock.changes += clock.hearing.look(at)
        clock.now += pause
        clock.hearing.heard([A], clock.now)
        clock.look()
    assert {A, None} & set(begun(clock.changes)) == set()


@given(COURSES)
def test_a_restart_never_begins_a_silence(course: list[tuple[float, str, set[Trail]]]) -> None:
    clock, single = Clock(ALL), Clock(ALL)
    for seconds, what, trails in course:
        for item in (clock, single):
            item.now += seconds
            if what == "heard":
                item.hearing.heard(sorted(trails), item.now)
            item.look()
        if what == "restart":
            changes = clock.changes
            clock = clock.restarted(ALL)
            assert clock.look() == []
            clock.changes = changes
    for trail in (None, A, B, C):
        assert begun(clock.changes).count(trail) <= begun(single.changes).count(trail)


@given(COURSES, st.randoms(use_true_random=False))
def test_the_order_of_trails_is_no_matter(
    course: list[tuple[float, str, set[Trail]]], chance: random.Random
) -> None:
    one, other = Clock(ALL), Clock(ALL)
    for seconds, what, trails in course:
        for item in (one, other):
            item.now += seconds
            shuffled = chance.sample(sorted(trails), len(trails))
            if what == "heard":
                item.hearing.heard(shuffled, item.now)
            elif what == "restart":
                for trail in shuffled:
                    item.hearing.heard([trail], item.now)
            else:
                item.look()
    assert one.changes == other.changes


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.sets(TRAILS), st.booleans()), max_size=40))
def test_whatever_the_clock_does_silences_begin_and_end_in_turns(
    steps: list[tuple[float, set[Trail], bool]],
) -> None:
    clock = Clock(ALL)
    open_silences: dict[Trail | None, Silence] = {}
    for seconds, trails, is_look in steps:
        clock.now = max(0.0, clock.now + seconds)
        if not is_look:
            clock.hearing.heard(sorted(trails), clock.now)
            continue
        for change in clock.look():
            silence = change.silence
            if silence.ended is None:
                assert change.trail not in open_silences
                assert silence.since <= silence.found
                open_silences[change.trail] = silence
            else:
                begun_as = open_silences.pop(change.trail)
                assert silence == msgspec.structs.replace(begun_as, ended=silence.ended)
