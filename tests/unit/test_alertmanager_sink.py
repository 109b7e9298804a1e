import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, AlertEpisode
from detector.alerts.own import silence_alert
from detector.alerts.story import Reading
from detector.config import AlertmanagerSinkConfig
from detector.envelopes.log_file import Trail
from detector.sinks.alertmanager.alerts import label_name, labels_of, newest_of_each, postable
from detector.sinks.alertmanager.sink import PATH
from detector.sinks.sink import Answer, Delivered, Permanent, Retry
from detector.state.store import Notification
from detector.windows.hearing import Silence
from tests.alerts import alert
from tests.servers.checking import Answer as Said
from tests.servers.checking import CheckingServer, Fault, Received
from tests.sinks import answers

NOW = datetime(2026, 9, 16, 12, 7, 3, 500_000, UTC)
URL = "http://alertmanager:9093"


def changed(**changes: Any) -> Alert:
    return msgspec.structs.replace(alert(), **changes)


def posted(made: Alert, kind: Any = "raised") -> dict[str, Any]:
    return postable(
        Notification(made, kind),
        now=NOW,
        resend_seconds=60,
        added={"team": "security"},
        reading=Reading(),
    )


def test_an_alert_fires_for_four_intervals_and_ends_when_it_is_resolved() -> None:
    firing = posted(alert())
    assert firing["startsAt"] == "2026-09-16T12:00:00.000Z"
    assert firing["endsAt"] == "2026-09-16T12:11:03.500Z"
    over = posted(changed(state="resolved"), "resolved")
    assert over["endsAt"] == "2026-09-16T12:07:03.500Z"
    assert over["labels"] == firing["labels"]
    assert firing["labels"] == {
        "alertname": "IAM policy changed",
        "severity": "medium",
        "rule_id": alert().rule_id,
        "incident": alert().id,
        "team": "security",
        "account": "111122223333",
    }
    annotations = firing["annotations"]
    assert annotations["summary"].startswith("[MEDIUM] IAM policy changed: ")
    assert "\n" in annotations["description"]
    assert annotations["runbook"].startswith("Find the change ticket")
    assert (annotations["count"], annotations["actors"]) == ("1", "alice")


def test_whatever_changes_within_an_incident_its_labels_stay() -> None:
    episode = AlertEpisode(
        id="e", start="2026-09-16T11:00:00Z", end="2026-09-16T12:05:00Z", windows=3, count=9
    )
    later = changed(
        id="later",
        dedup_key=alert().id,
        revision=4,
        count=7,
        actors=["x"],
        episode=episode,
        state="resolved",
        evidence=[],
        late=True,
    )
    assert posted(later)["labels"] == posted(alert())["labels"]
    assert posted(later)["startsAt"] == "2026-09-16T11:00:00.000Z"
    assert posted(later)["annotations"]["count"] == "9"


def test_the_detectors_own_alerts_end_under_the_name_that_they_began_with() -> None:
    trail = Trail("111122223333", "eu-west-1")
    begun = silence_alert(trail, Silence(since=1e9, found=1e9 + 900, limit=900, ended=None))
    ended = silence_alert(trail, Silence(since=1e9, found=1e9 + 900, limit=900, ended=1e9 + 950))
    assert begun.title != ended.title
    assert labels_of(begun, {}) == labels_of(ended, {})
    assert labels_of(begun, {})["region"] == "eu-west-1"


def test_fields_become_labels_under_names_that_are_free() -> None:
    group = {"userIdentity.arn": "a", "userIdentity_arn": "b", "severity": "c", "account": None}
    labels = labels_of(changed(group=group, test=True), {"userIdentity_arn": "mine"})
    assert labels["userIdentity_arn"] == "mine"
    assert labels["userIdentity_arn_2"] == "a"
    assert labels["userIdentity_arn_3"] == "b"
    assert (labels["severity"], labels["severity_2"]) == ("medium", "c")
    assert "account" not in labels
    assert labels["test"] == "true"


@given(st.text())
def test_every_field_has_a_name_as_a_label(field: str) -> None:
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label_name(field))
    assert not label_name(field).startswith("__")


@given(
    group=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()),
    title=st.text(min_size=1),
)
def test_whatever_is_in_an_alert_its_labels_are_valid(group: dict[str, Any], title: str) -> None:
    labels = labels_of(changed(group=group, title=title), {})
    assert {"alertname", "severity", "rule_id", "incident"} <= labels.keys()
    for name, value in labels.items():
        assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)
        assert 0 < len(value) <= 1024
        value.encode()


def test_the_newest_window_speaks_for_its_incident() -> None:
    window = alert().window
    older = changed(id="a", dedup_key="i", window=msgspec.structs.replace(window, end="2026-01-01"))
    newer, other = changed(id="b", dedup_key="i"), changed(id="c", dedup_key="j")
    found = newest_of_each([Notification(item) for item in (newer, older, other)])
    assert [item.alert.id for item in found] == ["b", "c"]


@pytest.mark.parametrize("label", ["severity", "incident", "1x", "a-b"])
def test_labels_that_the_detector_sets_or_that_are_none_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match=f"labels has {label}"):
        AlertmanagerSinkConfig(name="am", urls=(URL,), labels={label: "x"})


class Member(CheckingServer):
    """One that takes whatever comes."""

    def check(self, request: Received) -> Said:
        assert request.path == PATH
        return Said()


async def test_of_several_refusals_the_one_that_passes_first_is_told() -> None:
    with Member() as one, Member() as other:
        config = AlertmanagerSinkConfig(
            name="am", urls=(one.address, other.address), headers={"Authorization": "Bearer t0ken"}
        )

        async def answer(*said: Said) -> Answer:
            one.always, other.always = map(Fault, said)
            return (await answers(config, Notification(alert())))[0]

        bad = Said(400, '"bad"')
        busy = Said(503, "busy", {"Retry-After": "20"})
        calm = Said(429, "", {"Retry-After": "5"})
        assert await answer(bad, bad) == Permanent('127.0.0.1 answered 400: "bad"')
        assert await answer(bad, busy) == Retry("127.0.0.1 answered 503: busy", 20)
        assert await answer(busy, calm) == Retry("127.0.0.1 answered 429", 5)
        one.always, other.always = Fault(bad), None
        assert await answers(config, Notification(alert())) == [Delivered()]
        (taken,) = other.accepted
        assert taken.headers["authorization"] == "Bearer t0ken"
        assert taken.headers["content-type"] == "application/json"
