import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, alert_id, utc
from detector.alerts.text import alert_text, clean
from detector.windows.aligned import WindowKey
from tests.alerts import KEY, alert
from tests.records import NOON


def test_the_id_is_made_from_rule_group_and_window_alone() -> None:
    assert alert("alice").id == alert("mallory", names=3).id == alert_id(KEY)
    # Stored ids and receivers that remember them outlive any change of the code.
    assert alert_id(KEY) == "db3a4a3a50bd9f201cad9eabe2346fa6"


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(KEY, rule_id="other"),
        msgspec.structs.replace(KEY, group=("444455556666",)),
        msgspec.structs.replace(KEY, group=()),
        msgspec.structs.replace(KEY, start=KEY.start + 300),
        msgspec.structs.replace(KEY, period=600),
    ],
)
def test_another_rule_group_or_window_makes_another_id(other: WindowKey) -> None:
    assert alert_id(other) != alert_id(KEY)


@given(*[st.lists(st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.text()))] * 2)
def test_groups_that_differ_make_ids_that_differ(
    one: list[str | int | None], two: list[str | int | None]
) -> None:
    ids = [alert_id(WindowKey("r", tuple(group), 0, 300)) for group in (one, two)]
    same = [(type(value), value) for value in one] == [(type(value), value) for value in two]
    assert (ids[0] == ids[1]) is same


def test_an_alert_says_what_where_when_and_who() -> None:
    made = alert()
    assert made.group == {"recipientAccountId": "111122223333"}
    assert (made.window.start, made.window.end) == ("2026-09-16T12:00:00Z", "2026-09-16T12:05:00Z")
    assert (made.count, made.threshold, made.late) == (1, 1, False)
    assert made.first_event_time == made.last_event_time == "2026-09-16T12:00:00Z"
    assert made.event_names == ["PutUserPolicy"]
    assert made.actors == ["alice"]
    assert made.event_ids == ["e0"]
    assert made.controls["aws-security-hub"] == "CloudWatch.4"
    assert made.runbook
    assert made.evidence[0]["eventName"] == "PutUserPolicy"


def test_an_alert_survives_being_stored() -> None:
    made = alert(names=7)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Alert) == made


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (NOON + 0.25, "2026-09-16T12:00:00.250Z")],
)
def test_times_are_written_as_cloudtrail_writes_them(seconds: float, text: str) -> None:
    assert utc(seconds) == text


def test_the_text_names_a_few_and_says_how_many_more() -> None:
    text = alert_text(alert(names=8))
    assert text.startswith("[MEDIUM] IAM policy changed\n  what     PutUserPolicy on user bob (5 ")
    assert "\n  count    8 x PutUserPolicy\n" in text
    assert "alice, alice1, alice2, alice3, alice4 and 3 more" in text


def test_an_update_says_that_it_is_one() -> None:
    text = alert_text(alert(), "updated")
    assert text.startswith("[MEDIUM] IAM policy changed (update)\n")


def test_a_late_alert_says_so() -> None:
    text = alert_text(msgspec.structs.replace(alert(), late=True))
    assert text.startswith("[MEDIUM] IAM policy changed (late)\n")
    assert "\n  when     2026-09-16T12:00:00Z, which is late\n" in text


@given(st.text(min_size=1))
def test_no_name_can_write_a_line_or_move_the_cursor(name: str) -> None:
    text = alert_text(alert(actor=name))
    assert len(text.splitlines()) == len(alert_text(alert()).splitlines())
    assert "\x1b" not in text
    assert len(clean(name)) == len(name)


def test_names_of_any_script_are_left_readable() -> None:
    assert clean("Zoë 東京 مرحبا") == "Zoë 東京 مرحبا"
    assert clean("a\u202eb\u2028c\x1b[2Jd") == "a b c [2Jd"


@given(st.text())
def test_what_is_left_after_cleaning_is_the_same_when_it_is_cleaned_again(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert clean(f"{text}\u200b") == clean(text) + " "
