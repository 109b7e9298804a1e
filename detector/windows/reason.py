"""Why an alarm has changed its state, in the words of CloudWatch's NewStateReason.

Pure. AWS publishes no grammar of these sentences; the forms are those of real notifications. Not
seen in any, and so ours: where missing datapoints are named in the long form, and that form of OK.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from detector.rules.window import ComparisonOperator, TreatMissingData, WindowSettings
from detector.windows.alarm import AlarmState

MAX_LISTED = 5
"""Datapoints named at most; from so many on, CloudWatch speaks of the most recent ones."""

PLAIN = 1e-3, 1e7
"""From here up to there, the latter exclusive, CloudWatch writes a number without an exponent."""

_WORDS: dict[ComparisonOperator, str] = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
_TREATED: dict[TreatMissingData, str] = {"breaching": "Breaching", "notBreaching": "NonBreaching"}


def state_reason(
    state: AlarmState, datapoints: Sequence[tuple[int, float]], settings: WindowSettings
) -> str:
    """Return why an alarm is in a new state.

    `datapoints` are the real ones that were evaluated, oldest first: the start of each one's
    period, in seconds since the epoch, and its value.
    """
    periods = settings.evaluation_periods
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {_number_of(periods, 'datapoint')} unknown."
    is_alarm = state == "ALARM"
    speaking = [item for item in datapoints if settings.is_breached_by(item[1]) is is_alarm]
    treated = _treated(periods - len(datapoints), settings.treat_missing_data)
    if not speaking:
        received = _number_of(len(datapoints), "datapoint")
        span = f"{periods} period{_s(periods)}"
        return f"Threshold Crossed: {received} received for {span}{treated}."
    crossed = "crossed" if is_alarm else "did not cross"
    comparison = "" if is_alarm else "not "
    comparison += f"{_WORDS[settings.comparison_operator]} the threshold"
    comparison += f" ({_decimal(settings.threshold)}){treated}"
    if settings.datapoints_to_alarm is None:
        counted, least = f"{len(speaking)} datapoint{_s(len(speaking))}", ""
    else:
        counted = f"{len(speaking)} out of the last {periods} datapoints"
        least = _least(settings.datapoints_to_alarm, periods, is_alarm=is_alarm)
    newest = ", ".join(_named(*item) for item in speaking[: -MAX_LISTED - 1 : -1])
    verb = "was" if len(speaking) == 1 else "were"
    if len(speaking) < MAX_LISTED:
        return f"Threshold Crossed: {counted} [{newest}] {verb} {comparison}{least}."
    return (
        f"Threshold Crossed: {counted} {verb} {comparison}."
        f" The most recent datapoints which {crossed} the threshold: [{newest}]{least}."
    )


def _treated(missing: int, treat_missing_data: TreatMissingData) -> str:
    treated = _TREATED.get(treat_missing_data)
    if not missing or treated is None:
        return ""
    return f" and {_number_of(missing, 'missing datapoint')} treated as [{treated}]"


def _least(datapoints_to_alarm: int, periods: int, *, is_alarm: bool) -> str:
    least = datapoints_to_alarm if is_alarm else periods - datapoints_to_alarm + 1
    change = "OK -> ALARM" if is_alarm else "ALARM -> OK"
    return f" (minimum {least} datapoint{_s(least)} for {change} transition)"


def _named(start: int, value: float) -> str:
    return f"{_decimal(value)} ({datetime.fromtimestamp(start, UTC):%d/%m/%y %H:%M:%S})"


def _number_of(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{_s(count)} {'was' if count == 1 else 'were'}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _decimal(number: float) -> str:
    """Return a number as Java writes a double, and CloudWatch with it: 1.0, 1.95011616768E10."""
    number = float(number)
    least, most = PLAIN
    if not number or least <= abs(number) < most:
        return repr(number)
    mantissa, _, power = f"{Decimal(repr(number)).normalize():E}".partition("E")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(power)}"
