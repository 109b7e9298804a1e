"""Sliding windows: CloudWatch's alarm over the matches of one key, by their arrival.

Pure: the state of one key (a rule and a group), what arrives, and the moments of evaluation.
Matches are counted when they arrive, as a metric filter counts them, never by the events' own time.
What was decided is never revised: an arrival that claims to be earlier, because a clock was set
back, counts in the newest slot known.

A caller evaluates what `next_evaluation` names until that lies ahead (`advance`), then adds what
arrives. Moments in between need no evaluation: they would find the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from detector.rules.window import Statistic, WindowSettings
from detector.windows import alarm
from detector.windows.alarm import AlarmState
from detector.windows.aligned import Match, Observation, WindowState, gathered
from detector.windows.bounded import MAX_EVIDENCE, MAX_NAME_CHARACTERS, bounded_record
from detector.windows.reason import state_reason
from detector.windows.schedule import MINUTE, schedule_of
from detector.windows.statistic import Totals

MAX_RECENT = 50
"""Matches remembered before there is an alarm to tell of them, the newest: as many as an alert
names actors. An alarm counts by its datapoints, which are exact."""


class Recent(msgspec.Struct, frozen=True, array_like=True):
    """A match that may become part of an alarm, and the slot it counts in."""

    slot: int
    observation: Observation


class SlidingState(msgspec.Struct):
    """What is known of one key. Every time is in seconds since the epoch.

    `decided` is the last moment evaluated, or before the first one the minute of creation; what
    arrives later counts from there on. `since` is when the state changed last, None if never.
    `points` has the slots in which something was counted, `detail` what is known of the matches
    from the breaching window on, while there is an alarm with any.
    """

    decided: int
    is_new: bool = True
    alarm: AlarmState = "INSUFFICIENT_DATA"
    since: int | None = None
    points: dict[int, Totals] = {}
    recent: list[Recent] = []
    detail: WindowState | None = None


@dataclass(frozen=True, slots=True)
class Datapoint:
    """What was counted in one period, and the period's start."""

    start: int
    value: float
    samples: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an alarm's state at the moment `at`.

    `datapoints` are the real ones that were evaluated, oldest first, and `missing` how many more it
    would have needed. The window is from `start` to before `end`: of an alarm it begins with the
    oldest datapoint that breaches, otherwise with the periods evaluated. `detail` tells of the
    matches of the alarm that begins or ends, None where it has none.
    """

    previous: AlarmState
    state: AlarmState
    at: int
    start: int
    end: int
    datapoints: tuple[Datapoint, ...]
    missing: int
    reason: str
    detail: WindowState | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The state after an evaluation, and the transition if there was one."""

    state: SlidingState
    transition: Transition | None


def initial_state(at: float) -> SlidingState:
    """Return the state of an alarm that is created at a time: nothing is known."""
    return SlidingState(decided=int(at // MINUTE) * MINUTE)


def arrive(
    state: SlidingState | None,
    matches: Iterable[Match],
    at: float,
    settings: WindowSettings,
) -> SlidingState:
    """Return the state with matches counted that arrive at a time; the one given is not changed.

    A match without a number to count is none, as for a metric filter.
    """
    state = initial_state(at) if state is None else state
    counted = [(seen, sample) for seen, sample in matches if isinstance(sample, (int, float))]
    if not counted:
        return state
    schedule = schedule_of(settings)
    points = dict(state.points)
    slot = max(schedule.slot(at), schedule.slot(state.decided), *points)
    totals = points[slot].copy() if slot in points else Totals()
    for _, sample in counted:
        totals.add(sample)
    points[slot] = totals
    if len(points) > schedule.most_slots:  # evaluations that were due have been left out
        del points[min(points)]
    observations = [_bounded(seen) for seen, _ in counted]
    recent = [*state.recent, *(Recent(slot, seen) for seen in observations)]
    is_alarm = state.alarm == "ALARM"
    return msgspec.structs.replace(
        state,
        points=points,
        recent=_without_old_records(recent[-MAX_RECENT:]),
        detail=_accumulated(state.detail, observations) if is_alarm else None,
    )


def evaluate(state: SlidingState, at: float, settings: WindowSettings) -> Evaluated:
    """Return what an evaluation at a time finds; the state given is not changed.

    A time that is no moment of evaluation, or was decided already, changes nothing.
    """
    schedule = schedule_of(settings)
    if at <= state.decided or not schedule.is_moment(at):
        return Evaluated(state, None)
    moment = int(at)
    bounds = schedule.bounds(moment)
    datapoints = _datapoints(state.points, bounds, settings.statistic)
    found = alarm.evaluate(
        [None if item is None else settings.is_breached_by(item.value) for item in datapoints],
        state.alarm,
        evaluation_periods=settings.evaluation_periods,
        datapoints_to_alarm=settings.breaches_to_alarm,
        treat_missing_data=settings.treat_missing_data,
        is_wall_clock=settings.evaluation_window == "wall_clock",
    )
    new = msgspec.structs.replace(
        state,
        decided=moment,
        is_new=False,
        points={slot: totals for slot, totals in state.points.items() if slot >= bounds[0]},
        recent=[item for item in state.recent if item.slot >= bounds[0]],
    )
    if found == state.alarm:
        return Evaluated(new, None)
    chosen = alarm.newest_real(datapoints, settings.evaluation_periods)
    evaluated = tuple(item for item in (datapoints[index] for index in chosen) if item)
    start = bounds[-1 - settings.evaluation_periods]
    if found == "ALARM":
        breaching = (item.start for item in evaluated if settings.is_breached_by(item.value))
        start = next(breaching, start)
        seen = [item.observation for item in new.recent if item.slot >= start]
        new.detail = _accumulated(None, seen)
    else:
        new.detail = None
    new.alarm = found
    new.since = moment
    transition = Transition(
        previous=state.alarm,
        state=found,
        at=moment,
        start=start,
        end=bounds[-1],
        datapoints=evaluated,
        missing=settings.evaluation_periods - len(evaluated),
        reason=state_reason(found, [(item.start, item.value) for item in evaluated], settings),
        detail=new.detail if found == "ALARM" else state.detail,
    )
    return Evaluated(new, transition)


def next_evaluation(state: SlidingState, settings: WindowSettings) -> int | None:
    """Return the next moment at which an evaluation can find something new.

    None where there is no such moment until something else arrives. A moment that has passed by now
    is due: it is evaluated as if it were now, so that no alarm is lost while nobody evaluates.
    """
    schedule = schedule_of(settings)
    if state.is_new:
        return schedule.moment_after(state.decided)
    changes = (schedule.change_after(state.decided, slot) for slot in state.points)
    return min((change for change in changes if change is not None), default=None)


def advance(
    state: SlidingState, until: float, settings: WindowSettings
) -> tuple[SlidingState, list[Transition]]:
    """Evaluate all that is due at a time or before it."""
    transitions = []
    while (moment := next_evaluation(state, settings)) is not None and moment <= until:
        evaluated = evaluate(state, moment, settings)
        state = evaluated.state
        if evaluated.transition is not None:
            transitions.append(evaluated.transition)
    return state, transitions


def _datapoints(
    points: dict[int, Totals], bounds: Sequence[int], statistic: Statistic
) -> list[Datapoint | None]:
    """Return the datapoint of each period; a period without samples has none."""
    periods: dict[int, list[Totals]] = {}
    for slot, totals in points.items():
        periods.setdefault(bisect_right(bounds, slot) - 1, []).append(totals)
    return [
        _datapoint(start, periods[index], statistic) if index in periods else None
        for index, start in enumerate(bounds[:-1])
    ]


def _datapoint(start: int, parts: Sequence[Totals], statistic: Statistic) -> Datapoint | None:
    totals = parts[0] if len(parts) == 1 else _merged(parts)
    value = totals.number(statistic)
    return None if value is None else Datapoint(start, value, totals.samples)


def _merged(parts: Sequence[Totals]) -> Totals:
    return Totals(
        samples=sum(part.samples for part in parts),
        total=str(sum((_exact(part.total) for part in parts), 0)),
        minimum=min(part.minimum for part in parts if part.minimum is not None),
        maximum=max(part.maximum for part in parts if part.maximum is not None),
    )


def _exact(total: str) -> Fraction | int:
    return Fraction(total) if "/" in total else int(total)  # much faster, and nearly all of them


def _accumulated(
    detail: WindowState | None, observations: Sequence[Observation]
) -> WindowState | None:
    """Return what is known of an alarm's matches; None of none."""
    if not observations:
        return detail
    return gathered(detail, observations)


def _bounded(seen: Observation) -> Observation:
    """Return an observation without what an alert would not show, however long its texts are."""
    return msgspec.structs.replace(
        seen,
        event_id=seen.event_id[:MAX_NAME_CHARACTERS],
        event_name=seen.event_name[:MAX_NAME_CHARACTERS],
        actor=seen.actor[:MAX_NAME_CHARACTERS],
        source_ip=seen.source_ip[:MAX_NAME_CHARACTERS],
        region=seen.region[:MAX_NAME_CHARACTERS],
        account=seen.account[:MAX_NAME_CHARACTERS],
        record=bounded_record(seen.record),
    )


def _without_old_records(recent: Sequence[Recent]) -> list[Recent]:
    """Return the matches with the records of the newest alone: an alert shows no more."""
    return [
        Recent(item.slot, msgspec.structs.replace(item.observation, record={}))
        if item.observation.record
        else item
        for item in recent[:-MAX_EVIDENCE]
    ] + list(recent[-MAX_EVIDENCE:])
