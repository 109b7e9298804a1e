"""The state of an alarm: CloudWatch's rules for datapoints that breach, do not, or are missing.

Pure. Source: Amazon CloudWatch User Guide, "Using Amazon CloudWatch alarms" (M out of N, how
missing data is treated, avoiding premature transitions) and "Alarm evaluation window".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from detector.rules.window import TreatMissingData

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]


def evaluation_range(evaluation_periods: int) -> int:
    """Return how many periods CloudWatch looks at to find so many datapoints.

    The guide says that they are more than those evaluated, and gives one number: 5 for 3. That it
    is a third more, at least two, is a guess. It fits that number, and an alarm of one period that
    was seen to take three periods to end.
    """
    return evaluation_periods + max(evaluation_periods // 3, 2)


def newest_real(points: Sequence[object | None], evaluation_periods: int) -> list[int]:
    """Return where the datapoints are that are evaluated, in their order: the newest real ones."""
    real = [index for index, point in enumerate(points) if point is not None]
    return real[-evaluation_periods:]


def evaluate(
    points: Sequence[bool | None],
    previous: AlarmState,
    *,
    evaluation_periods: int,
    datapoints_to_alarm: int,
    treat_missing_data: TreatMissingData,
    is_wall_clock: bool = False,
) -> AlarmState:
    """Return an alarm's state, by the datapoints of its evaluation range, oldest first.

    A datapoint breaches the threshold or does not, or is missing (None). `previous` is what the
    state stays where nothing says otherwise. A wall-clock window has no wider range: its points are
    exactly the periods to evaluate, and nothing is concluded from their age.

    Where the guide is silent: `missing` with nothing but too few, too young breaching datapoints
    keeps the state, for INSUFFICIENT_DATA is said to be for a range in which all is missing.
    """
    evaluated = [points[index] for index in newest_real(points, evaluation_periods)]
    missing = evaluation_periods - len(evaluated)
    breaching = evaluated.count(True)
    if treat_missing_data == "breaching":
        breaching += missing
    if breaching >= datapoints_to_alarm:
        return "ALARM"
    # One good datapoint is enough to be sure. The guide's words on premature transitions alone
    # would let it alarm here too, against its own tables.
    if not missing or False in evaluated or treat_missing_data in {"breaching", "notBreaching"}:
        return "OK"
    if treat_missing_data == "ignore":
        return previous
    if not evaluated:
        return "INSUFFICIENT_DATA"
    age = len(points) - points.index(True)
    is_settled = age >= datapoints_to_alarm and not is_wall_clock
    return "ALARM" if is_settled else previous
