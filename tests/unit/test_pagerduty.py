from dataclasses import replace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given

from detector.alerts.own import silence_alert
from detector.alerts.story import Link, Reading, tell
from detector.config import PagerDutySinkConfig, TemplatesConfig
from detector.envelopes.log_file import Trail
from detector.rules.rule import Level
from detector.sinks.chat import Wording, Words
from detector.sinks.pagerduty.event import MAX_EVENT_BYTES, dedup_key, event
from detector.sinks.sink import Delivered, Permanent, Retry
from detector.state.store import Notification
from detector.windows.hearing import Silence
from tests.alerts import alert
from tests.hostile import DIGEST, SAMPLES, digest_alert, hostile, notifications
from tests.records import NOON
from tests.servers.checking import Answer, Fault
from tests.servers.pagerduty import ROUTING_KEY, PagerDutyServer, faults_of
from tests.sinks import answers
from tests.strategies import examples

OWN = Words(None, None, ())


def sent(notification: Notification, words: Words = OWN) -> Any:
    story = tell(notification.alert, notification.kind, Reading())
    encoded = event(notification, story, words, ROUTING_KEY)
    assert len(encoded) <= MAX_EVENT_BYTES
    return msgspec.json.decode(encoded)


def config(server: PagerDutyServer, **settings: Any) -> PagerDutySinkConfig:
    return PagerDutySinkConfig(
        name="pager", **{"url": server.url, "routing_key": ROUTING_KEY, **settings}
    )


def test_an_event_says_what_where_and_how_bad_and_carries_the_facts() -> None:
    made = alert(names=3)
    got = sent(Notification(made, made_at=NOON + 90))
    payload = got["payload"]
    details = payload.pop("custom_details")
    assert payload == {
        "summary": f"[MEDIUM] IAM policy changed: {tell(made, 'raised', Reading()).summary}",
        "source": "111122223333/us-east-1",
        "severity": "warning",
        "timestamp": "2026-09-16T12:01:30Z",
        "component": "iam",
        "group": "111122223333",
        "class": "IAM policy changed",
    }
    assert (got["event_action"], got["dedup_key"]) == ("trigger", made.dedup_key)
    assert details["who"].startswith("alice")
    assert details["runbook"]
    assert details["evidence"] == made.evidence
    facts = details["alert"]
    assert (facts["event_ids"], facts["count"], facts["kind"]) == (made.event_ids, 3, "raised")
    assert facts["message_id"] == f"{made.id}.0.raised"
    assert facts["window"] == {"start": made.window.start, "end": made.window.end}
    assert "evidence_left_out" not in facts


@pytest.mark.parametrize("level", get_args(Level))
def test_each_level_is_a_severity(level: Level) -> None:
    words = {"critical": "critical", "high": "error", "medium": "warning"}
    made = sent(Notification(msgspec.structs.replace(alert(), level=level)))
    assert made["payload"]["severity"] == words.get(level, "info")


def test_an_end_is_nothing_but_the_incident_that_is_meant() -> None:
    made = msgspec.structs.replace(alert(), dedup_key="incident-1")
    assert sent(Notification(made, "resolved")) == {
        "routing_key": ROUTING_KEY,
        "dedup_key": "incident-1",
        "event_action": "resolve",
    }


def test_a_key_that_is_too_long_is_another_one_always_the_same() -> None:
    made = msgspec.structs.replace(alert(), dedup_key="k" * 256)
    assert len(dedup_key(made)) == 64
    assert dedup_key(made) == dedup_key(made)
    assert dedup_key(made) != dedup_key(msgspec.structs.replace(made, dedup_key="k" * 257))
    assert dedup_key(msgspec.structs.replace(made, dedup_key="k" * 255)) == "k" * 255
    assert dedup_key(msgspec.structs.replace(made, dedup_key="")) == made.id


def test_evidence_is_left_out_first_and_that_is_said() -> None:
    large = [{"eventSource": "iam.amazonaws.com", "x": "é" * 60_000}] * 7
    made = msgspec.structs.replace(alert(), evidence=large)
    details = sent(Notification(made))["payload"]["custom_details"]
    assert len(details["evidence"]) == 4
    assert details["alert"]["evidence_left_out"] == 3
    assert details["alert"]["event_ids"] == made.event_ids
    many = msgspec.structs.replace(made, actors=["a" * 9_000] * 100)
    details = sent(Notification(many))["payload"]["custom_details"]
    assert "evidence" not in details
    assert len(details["alert"]["actors"]) == 5
    assert details["alert"]["evidence_left_out"] == 7
    assert details["who"]


def test_an_alert_of_the_detectors_own_is_told_without_events() -> None:
    silence = Silence(since=NOON, limit=7200, found=NOON + 7200, ended=None)
    one = sent(Notification(silence_alert(Trail("111122223333", "us-east-1"), silence)))
    whole = sent(Notification(silence_alert(None, silence)))
    assert not [*faults_of(one), *faults_of(whole)]
    assert one["payload"]["source"] == "111122223333/us-east-1"
    assert whole["payload"]["source"] == "cloudtrail-detector"
    assert "evidence" not in whole["payload"]["custom_details"]


def test_a_digest_has_a_key_of_its_own_and_is_carried_whole() -> None:
    made = digest_alert()
    got = sent(Notification(made))
    assert (got["event_action"], got["dedup_key"]) == ("trigger", "digest-1")
    facts = got["payload"]["custom_details"]["alert"]
    assert facts["digest"] == msgspec.to_builtins(DIGEST)
    assert sent(Notification(made, "resolved"))["event_action"] == "resolve"


def test_a_test_says_so_whatever_its_title() -> None:
    made = Notification(msgspec.structs.replace(alert(), test=True))
    assert sent(made)["payload"]["summary"].startswith("[TEST] ")
    own = Wording(TemplatesConfig(title="My title"))
    titled = sent(made, own.words(made.alert, tell(made.alert, "raised", Reading())))
    assert titled["payload"]["summary"] == "[TEST] My title"


def test_links_lead_to_the_web_and_the_first_one_is_the_clients() -> None:
    links = (
        Link("console", "https://console.aws.amazon.com/x"),
        Link("bad", "javascript:alert(1)"),
        Link("SIEM", "https://siem.example/a"),
    )
    story = replace(tell(alert(), "raised", Reading()), links=links)
    got = msgspec.json.decode(event(Notification(alert()), story, OWN, ROUTING_KEY))
    assert [link["text"] for link in got["links"]] == ["console", "SIEM"]
    assert got["client_url"] == "https://console.aws.amazon.com/x"


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_an_attacker_wrote_stands_in_values_and_is_whole_in_the_evidence(sample: str) -> None:
    made = hostile(sample)
    got = sent(Notification(made))
    assert not list(faults_of(got))
    assert got["payload"]["custom_details"]["evidence"] == made.evidence
    assert got["payload"]["summary"].isprintable()


@given(notifications())
@examples(200)
def test_pagerduty_takes_every_event(notification: Notification) -> None:
    assert not list(faults_of(sent(notification)))


async def test_somebody_is_paged_once_for_an_incident_until_it_is_over() -> None:
    made = msgspec.structs.replace(alert(), dedup_key="incident-1")
    later = msgspec.structs.replace(made, id="another", revision=1)
    other = msgspec.structs.replace(made, dedup_key="incident-2")
    with PagerDutyServer() as server:
        await answers(
            config(server),
            Notification(made),
            Notification(made, "updated"),
            Notification(later),
            Notification(other),
        )
        assert server.pages == 2
        assert [len(incident.triggers) for incident in server.incidents] == [3, 1]
        await answers(config(server), Notification(later, "resolved"), Notification(made))
        assert server.pages == 3
        assert [incident.dedup_key for incident in server.open_incidents] == [
            "incident-2",
            "incident-1",
        ]
        strange = config(server, routing_key="a" * 32)
        await answers(strange, Notification(made, "resolved"))
        assert (server.dropped, len(server.open_incidents)) == (1, 2)


async def test_templates_stand_in_place_of_the_summary_and_of_the_details() -> None:
    templates = TemplatesConfig(title="{{ alert.title }}!", text="{{ alert.actors[0] }}\nsecond")
    with PagerDutyServer() as server:
        await answers(config(server, templates=templates), Notification(hostile("<b> *x*")))
        payload = server.accepted[0].json["payload"]
    assert payload["summary"] == "IAM policy changed!"
    assert payload["custom_details"]["text"] == "<b> *x*\nsecond"
    assert "who" not in payload["custom_details"]
    templates = TemplatesConfig(text="{{ alert.nobody }}")
    with PagerDutyServer() as server:
        await answers(config(server, templates=templates), Notification(alert()))
        details = server.accepted[0].json["payload"]["custom_details"]
    assert details["who"] == "alice"
    assert "cannot be filled in" in details["template"][0]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(202, "{}"), Delivered()),
        (Answer(200, "welcome"), Retry("127.0.0.1 answered 200, not 202: welcome")),
        (
            Answer(
                400,
                '{"status":"invalid event","message":"Event object is invalid",'
                '"errors":["\'payload.summary\' is missing or blank","two"]}',
            ),
            Permanent(
                "127.0.0.1 answered 400: Event object is invalid:"
                " 'payload.summary' is missing or blank; two"
            ),
        ),
        (Answer(400, "[1]"), Permanent("127.0.0.1 answered 400: [1]")),
        (Answer(429, "{}", {"Retry-After": "60"}), Retry("127.0.0.1 answered 429: {}", 60.0)),
        (Answer(500, ""), Retry("127.0.0.1 answered 500")),
    ],
)
async def test_what_pagerduty_says_is_what_becomes_of_the_event(
    answer: Answer, expected: object
) -> None:
    with PagerDutyServer(Fault(answer)) as server:
        assert await answers(config(server), Notification(alert())) == [expected]


async def test_the_routing_key_is_in_no_reason_even_if_the_service_repeats_it() -> None:
    said = f'{{"message":"no such key: {ROUTING_KEY}"}}'
    with PagerDutyServer(Fault(Answer(400, said))) as server:
        (answer,) = await answers(config(server), Notification(alert()))
    assert answer == Permanent("127.0.0.1 answered 400: no such key: [hidden]")


async def test_a_service_that_is_asked_too_often_is_asked_again_later() -> None:
    with PagerDutyServer(per_minute=1) as server:
        first, second = await answers(config(server), *[Notification(alert())] * 2)
    assert first == Delivered()
    assert isinstance(second, Retry)
    assert second.after is not None
    assert 1 <= second.after <= 60
