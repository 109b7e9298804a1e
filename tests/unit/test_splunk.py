from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from detector.config import SplunkSinkConfig, load_config
from detector.errors import ConfigError
from detector.sinks import splunk
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, message_id
from detector.sinks.splunk import event_of
from detector.state.store import Notification
from tests.alerts import alert
from tests.any_alert import HOSTILE, notifications
from tests.servers.checking import Answer as Said
from tests.servers.checking import Fault
from tests.servers.splunk import TOKEN, SplunkServer, said
from tests.sinks import answers
from tests.strategies import examples

SOURCES = "sources: [{type: directory, path: x}]\n"


async def send(server: SplunkServer, notification: Notification, **settings: str) -> Answer:
    values = {"token": TOKEN, **settings}
    config = SplunkSinkConfig(name="splunk", url=server.address, **values)  # type: ignore[arg-type]
    (answer,) = await answers(config, notification)
    return answer


async def test_an_event_is_the_whole_alert_with_the_ids_to_know_it_by() -> None:
    made = msgspec.structs.replace(alert(names=2), dedup_key="incident", revision=4)
    notification = Notification(made, "updated", made_at=1789577551.5)
    with SplunkServer() as server:
        settings = {"index": "security", "host": "detector-1"}
        assert await send(server, notification, **settings) == Delivered()
        identity = message_id(notification)
        assert server.events == [
            {
                "time": 1789577551.5,
                "host": "detector-1",
                "source": "cloudtrail-detector",
                "sourcetype": "cloudtrail:alert",
                "index": "security",
                "event": {
                    "message_id": identity,
                    "kind": "updated",
                    **msgspec.to_builtins(made),
                },
                "fields": {
                    "message_id": identity,
                    "alert_id": made.id,
                    "dedup_key": "incident",
                    "rule_id": made.rule_id,
                    "level": "medium",
                    "kind": "updated",
                },
            }
        ]
        assert server.accepted[0].path == "/services/collector/event"


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_names_stay_within_the_event(hostile: str) -> None:
    made = msgspec.structs.replace(alert(), actors=[hostile], evidence=[{"userAgent": hostile}])
    with SplunkServer() as server:
        assert await send(server, Notification(made)) == Delivered()
        (event,) = server.events
    assert event["event"]["actors"] == [hostile]
    assert event["event"]["evidence"] == [{"userAgent": hostile}]


@examples(30)
@given(notification=notifications())
def test_any_alert_is_an_event_that_a_collector_takes(notification: Notification) -> None:
    event = msgspec.json.decode(event_of(notification, {"host": "h"}))
    assert event["event"]["id"] == notification.alert.id
    assert event["fields"]["message_id"] == event["event"]["message_id"] == message_id(notification)
    assert all(isinstance(value, str) for value in event["fields"].values())
    assert isinstance(event["time"], float | int)


async def test_a_large_alert_is_cut_to_what_a_collector_takes() -> None:
    large = msgspec.structs.replace(alert(), evidence=[{"x": "y" * 300_000}] * 5)
    with SplunkServer() as server:
        assert await send(server, Notification(large)) == Delivered()
        (event,) = server.events
    assert len(event["event"]["evidence"]) == 2
    assert event["event"]["truncated"] == ["evidence"]


async def test_a_repetition_can_be_told_from_news() -> None:
    lost = Fault(reset=True, taken=True)
    with SplunkServer(lost) as server:
        config = SplunkSinkConfig(name="splunk", url=server.address, token=TOKEN)
        said_first, said_again = await answers(config, *[Notification(alert())] * 2)
        assert isinstance(said_first, Retry)
        assert said_again == Delivered()
        first, again = server.events
    assert first == again


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (1, Permanent, "403: Token disabled (code 1); enable the token"),
        (2, Permanent, "401: Token is required (code 2); set token"),
        (3, Permanent, "401: Invalid authorization (code 3); set token to the token alone"),
        (4, Permanent, "403: Invalid token (code 4); set token to one that this Splunk knows"),
        (6, Permanent, "answered 400"),
        (7, Permanent, "400: Incorrect index (code 7); set index to one that the token allows"),
        (8, Retry, "500: Internal server error (code 8)"),
        (9, Retry, "503: Server is busy (code 9)"),
        (13, Permanent, "answered 400"),
    ],
)
async def test_the_collectors_codes_say_whether_another_attempt_makes_sense(
    code: int, kind: type[Retry] | type[Permanent], says: str
) -> None:
    with SplunkServer(Fault(said(code))) as server:
        answer = await send(server, Notification(alert()))
    assert isinstance(answer, kind)
    assert says in answer.why
    assert TOKEN not in answer.why


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Said(429, headers={"Retry-After": "3"}), Retry),
        (Said(502, "<html>bad gateway</html>"), Retry),
        (Said(404, "not here"), Permanent),
        (Said(413), Permanent),
        (Said(400, '{"code": "x"}'), Permanent),
    ],
)
async def test_what_stands_before_a_collector_may_answer_in_its_place(
    answer: Said, kind: type[Answer]
) -> None:
    with SplunkServer(Fault(answer)) as server:
        assert isinstance(await send(server, Notification(alert())), kind)


async def test_a_busy_collector_is_given_the_time_it_asks_for() -> None:
    busy = Said(503, said(9).body, {"Retry-After": "12"})
    with SplunkServer(Fault(busy)) as server:
        answer = await send(server, Notification(alert()))
    assert answer == Retry("127.0.0.1 answered 503: Server is busy (code 9)", 12.0)


async def test_a_wrong_token_and_an_index_that_is_not_allowed_are_refused_for_good() -> None:
    with SplunkServer() as server:
        wrong = await send(server, Notification(alert()), token="wrong")
        elsewhere = await send(server, Notification(alert()), index="other")
        assert not server.events
    assert isinstance(wrong, Permanent)
    assert isinstance(elsewhere, Permanent)


async def test_with_acknowledgement_an_event_is_delivered_when_it_is_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splunk, "ACK_POLL_SECONDS", 0)
    with SplunkServer(acknowledges=2) as server:
        assert await send(server, Notification(alert())) == Delivered()
        assert server.asked == {0: 3}
        assert len(server.channels) == 1


async def test_an_event_that_never_gets_to_disk_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splunk, "ACK_POLL_SECONDS", 0)
    monkeypatch.setattr(splunk, "MAX_ACK_POLLS", 3)
    with SplunkServer(acknowledges=1000) as server:
        answer = await send(server, Notification(alert()))
        assert server.asked == {0: 3}
    assert answer == Retry(
        "127.0.0.1 took the event, and its indexers have not acknowledged it", None
    )


async def test_acknowledgements_that_cannot_be_had_are_asked_for_anew_with_the_event() -> None:
    with SplunkServer(acknowledges=0) as server:
        taken = Fault(said(0, ackId=7))
        for answer in (said(9), said(4), Said(200, "what?")):
            server.faults = [taken, Fault(answer), Fault(said(14))]
            assert isinstance(await send(server, Notification(alert())), Retry)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("token: 'Splunk hunter2'", "token is the token alone"),
        ("token: ''", "token is the token alone"),
        ('token: "hunter2\\n"', "token is the token alone"),
        ("token: x, url: 'https://s:8088/services/collector/'", "url is the address alone"),
    ],
)
def test_a_section_that_can_never_work_is_refused_at_load(
    tmp_path: Path, settings: str, says: str
) -> None:
    path = tmp_path / "detector.yaml"
    url = "" if "url:" in settings else "url: 'https://s:8088', "
    path.write_text(f"{SOURCES}sinks: [{{type: splunk, {url}{settings}}}]\n")
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(path)
    assert "hunter2" not in str(caught.value)
