"""Which alerts a silence suppresses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.alerts.silence import Silence, Subject, silences_by_state, suppressed_by
from tests.records import ACCOUNT, NOON

HOUR = 3600
DAY = 24 * HOUR
OTHER = "444455556666"


def at(seconds: float) -> datetime:
    """Return a moment, in seconds after noon."""
    return datetime.fromtimestamp(NOON, UTC) + timedelta(seconds=seconds)


def silence(start: float = 0, end: float = HOUR, **fields: Any) -> Silence:
    """Return a silence of all alerts, or of what the fields say; times are seconds after noon."""
    data = {"author": "alice", "reason": "maintenance", **fields}
    if not data.keys() & {"rules", "levels", "accounts", "group"}:
        data["rules"] = "any"
    return msgspec.convert({"start": at(start), "end": at(end), **data}, Silence)


def subject(first: float = 0, last: float | None = None, **fields: Any) -> Subject:
    """Return a subject with its first and last event at seconds after noon."""
    data: dict[str, Any] = {
        "rule_id": "iam.1",
        "rule_name": "iam_changes",
        "title": "IAM policy changed",
        "level": "medium",
        "group": {},
        "accounts": [ACCOUNT],
        **fields,
    }
    return Subject(
        first_event_time=NOON + first,
        last_event_time=NOON + (first if last is None else last),
        **data,
    )


def test_a_silence_holds_from_its_start_up_to_and_not_including_its_end() -> None:
    one = silence()
    assert one.suppresses(subject(0, HOUR - 0.001))
    assert not one.suppresses(subject(-0.001, 5))
    assert not one.suppresses(subject(5, HOUR))
    assert not one.suppresses(subject(-5, HOUR + 5))


def test_two_silences_that_meet_do_not_suppress_together_what_neither_does_alone() -> None:
    both = [silence(0, HOUR), silence(HOUR, 2 * HOUR)]
    assert suppressed_by(subject(HOUR - 1, HOUR), both) is None
    assert suppressed_by(subject(HOUR, HOUR + 1), both) is both[1]


@pytest.mark.parametrize(
    "rules",
    [["iam.1"], ["iam_changes"], ["IAM policy changed"], ["IAM*"], ["x", "*.1"], ["*"], "any"],
)
def test_a_rule_is_named_by_its_id_its_name_or_its_title(rules: object) -> None:
    assert silence(rules=rules).suppresses(subject())


@pytest.mark.parametrize("rules", [["iam"], ["iam.10"], ["iam?1"], ["iam policy*"], [""]])
def test_a_rule_of_another_name_is_not_suppressed(rules: list[str]) -> None:
    assert not silence(rules=rules).suppresses(subject(rule_name=""))


def test_a_level_must_be_among_those_named() -> None:
    assert silence(levels=["low", "medium"]).suppresses(subject())
    assert not silence(levels=["low"]).suppresses(subject())


def test_every_account_must_be_among_those_named_quoted_or_not() -> None:
    one = silence(accounts=[ACCOUNT])
    assert one.suppresses(subject())
    assert not one.suppresses(subject(accounts=[ACCOUNT, OTHER]))
    assert silence(accounts=[int(ACCOUNT), OTHER]).suppresses(subject(accounts=[ACCOUNT, OTHER]))


@pytest.mark.parametrize("accounts", [[], [""], [ACCOUNT, ""]])
def test_an_account_that_is_not_known_is_among_none_that_are_named(accounts: list[str]) -> None:
    assert not silence(accounts=[ACCOUNT]).suppresses(subject(accounts=accounts))
    assert silence(rules="any").suppresses(subject(accounts=accounts))


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("alice", "alice"),
        ("arn:aws:iam::*:role/deploy-*", "arn:aws:iam::1:role/deploy-a"),
        (111122223333, "111122223333"),
        ("443", 443),
        (443, 443.0),
        (1.5, "1.5"),
        (True, True),
        ("true", True),
        ("*", 0),
        (None, None),
    ],
)
def test_a_group_value_is_one_of_those_named(wanted: object, value: object) -> None:
    assert silence(group={"who": ["x", wanted]}).suppresses(subject(group={"who": value}))


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("alice", "alicex"),
        ("a", "A"),
        (True, 1),
        (1, True),
        ("*", None),
        ("null", None),
        (None, ""),
    ],
)
def test_a_group_value_that_is_another_is_not(wanted: object, value: object) -> None:
    assert not silence(group={"who": [wanted]}).suppresses(subject(group={"who": value}))


def test_a_group_must_have_every_field_that_is_named_and_may_have_more() -> None:
    one = silence(group={"who": ["a"], "where": ["b"]})
    assert one.suppresses(subject(group={"who": "a", "where": "b", "how": "c"}))
    assert not one.suppresses(subject(group={"who": "a"}))
    assert not silence(group={"who": [None]}).suppresses(subject(group={}))


def test_all_that_a_silence_asks_for_must_match() -> None:
    asked: dict[str, Any] = {
        "rules": ["iam.1"],
        "levels": ["medium"],
        "accounts": [ACCOUNT],
        "group": {"who": ["a"]},
    }
    fits: dict[str, Any] = {"group": {"who": "a"}}
    assert silence(**asked).suppresses(subject(**fits))
    wrong = {"rules": ["x"], "levels": ["low"], "accounts": [OTHER], "group": {"who": ["b"]}}
    for name, value in wrong.items():
        assert not silence(**{**asked, name: value}).suppresses(subject(**fits))


def test_a_silence_that_repeats_comes_again_after_so_many_days_and_not_before_its_start() -> None:
    weekly = silence(every_days=7)
    for week in (0, 1, 500):
        begin = week * 7 * DAY
        assert weekly.suppresses(subject(begin, begin + HOUR - 1))
        assert not weekly.suppresses(subject(begin - 1))
        assert not weekly.suppresses(subject(begin + HOUR))
    assert not weekly.suppresses(subject(DAY))
    assert not weekly.suppresses(subject(-7 * DAY))


def test_events_in_two_turns_of_a_silence_are_not_suppressed() -> None:
    assert not silence(every_days=1).suppresses(subject(0, DAY))


def test_the_borders_of_a_late_turn_are_exact() -> None:
    daily = silence(0.1, 0.3, every_days=1)
    begin = 10_000 * DAY
    assert daily.suppresses(subject(begin + 0.1, begin + 0.299999))
    assert not daily.suppresses(subject(begin + 0.3))
    assert not daily.suppresses(subject(begin + 0.099999))


def test_a_silence_is_pending_then_active_then_expired() -> None:
    one = silence()
    states = [one.state(NOON + seconds) for seconds in (-1, 0, HOUR - 1, HOUR)]
    assert states == ["pending", "active", "active", "expired"]


def test_a_silence_that_repeats_is_pending_between_its_turns_and_never_expires() -> None:
    daily = silence(every_days=1)
    states = [daily.state(NOON + seconds) for seconds in (-1, 0, HOUR, DAY + 1, 9000 * DAY - 1)]
    assert states == ["pending", "active", "pending", "active", "pending"]


def test_silences_are_counted_by_their_states_with_a_zero_for_those_of_none() -> None:
    silences = [silence(), silence(-HOUR, 0), silence(-9 * HOUR, -HOUR)]
    counts = silences_by_state(silences, NOON)
    assert counts == {"pending": 0, "active": 1, "expired": 2}


# What holds for any silences and any alert. Everything is small, so that much of it meets.

_hours = st.integers(-60, 60).map(lambda hours: hours * HOUR)
_rules = st.lists(st.sampled_from(["iam.1", "iam*", "other"]), min_size=1, max_size=2)
_accounts = st.lists(st.sampled_from([ACCOUNT, OTHER]), min_size=1, max_size=2)
_matchers = st.fixed_dictionaries(
    {},
    optional={
        "rules": st.one_of(st.just("any"), _rules),
        "levels": st.lists(st.sampled_from(["low", "medium"]), min_size=1, max_size=2),
        "accounts": _accounts,
        "group": st.just({"who": ["a*"]}),
    },
)


@st.composite
def _silence(draw: st.DrawFn) -> Silence:
    start = draw(_hours)
    length = draw(st.integers(1, 47)) * HOUR
    every = draw(st.one_of(st.none(), st.integers(length // DAY + 1, 4)))
    return silence(start, start + length, **draw(_matchers), every_days=every)


_silences = st.lists(_silence(), max_size=5)
_times = st.lists(st.builds(lambda hour, more: hour + more, _hours, st.sampled_from([0, 1, -1])))
_events = _times.filter(bool)
_fields = st.fixed_dictionaries(
    {
        "rule_id": st.sampled_from(["iam.1", "iam.2", "x"]),
        "level": st.sampled_from(["low", "medium", "high"]),
        "accounts": st.lists(st.sampled_from([ACCOUNT, OTHER, ""]), max_size=2, unique=True),
        "group": st.sampled_from([{}, {"who": "alice"}, {"who": "bob"}]),
    }
)


def of_events(times: list[float], fields: dict[str, Any]) -> Subject:
    return subject(min(times), max(times), **fields)


def is_covered(one: Silence, time: float) -> bool:
    """Return whether an event lies in a silence, turn by turn."""
    start, end = (moment.timestamp() - NOON for moment in (one.start, one.end))
    turns = range(50) if one.every_days else [0]
    shifts = [turn * (one.every_days or 0) * DAY for turn in turns]
    return any(start + shift <= time < end + shift for shift in shifts)


@given(_silences, _events, _fields, st.randoms(use_true_random=False))
def test_the_order_in_which_silences_are_listed_changes_nothing(
    silences: list[Silence], times: list[float], fields: dict[str, Any], random: Any
) -> None:
    alert = of_events(times, fields)
    shuffled = random.sample(silences, len(silences))
    assert (suppressed_by(alert, silences) is None) is (suppressed_by(alert, shuffled) is None)


@given(_silences, _events, _fields)
def test_an_alert_with_an_event_outside_a_silence_is_never_suppressed_by_it(
    silences: list[Silence], times: list[float], fields: dict[str, Any]
) -> None:
    found = suppressed_by(of_events(times, fields), silences)
    if found is not None:
        assert all(is_covered(found, time) for time in times)


@given(_silence(), st.integers(0, 5), st.data())
def test_an_alert_of_which_every_event_lies_in_one_turn_is_suppressed(
    one: Silence, turn: int, data: st.DataObject
) -> None:
    everything = msgspec.structs.replace(one, rules="any", levels=None, accounts=None, group=None)
    begin = one.start.timestamp() - NOON + turn * (one.every_days or 0) * DAY
    length = int((one.end - one.start).total_seconds())
    times = data.draw(st.lists(st.integers(0, length - 1), min_size=1))
    assert everything.suppresses(of_events([begin + time for time in times], {}))


@given(_silences, _silence(), _events, _fields)
def test_one_more_silence_never_brings_an_alert_back(
    silences: list[Silence], more: Silence, times: list[float], fields: dict[str, Any]
) -> None:
    alert = of_events(times, fields)
    if suppressed_by(alert, silences) is not None:
        assert suppressed_by(alert, [more, *silences]) is not None


@given(_silences, _events, _times, _fields)
def test_more_events_never_make_an_alert_suppressed(
    silences: list[Silence], times: list[float], more: list[float], fields: dict[str, Any]
) -> None:
    if suppressed_by(of_events(times, fields), silences) is None:
        assert suppressed_by(of_events(times + more, fields), silences) is None


@given(_silence(), _events, _fields, _matchers)
def test_asking_for_more_never_suppresses_more(
    one: Silence, times: list[float], fields: dict[str, Any], more: dict[str, Any]
) -> None:
    added = {name: value for name, value in more.items() if getattr(one, name) is None}
    assume(added)
    narrower = msgspec.structs.replace(one, **added)
    alert = of_events(times, fields)
    assert one.suppresses(alert) or not narrower.suppresses(alert)
