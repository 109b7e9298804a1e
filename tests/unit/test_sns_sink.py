import json
import re
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert
from detector.config import SNSSinkConfig, TemplatesConfig
from detector.errors import ConfigError
from detector.sinks.aws import answer_to
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, message_id
from detector.sinks.sns.attributes import MAX_ATTRIBUTES, attributes_of, size_of
from detector.sinks.sns.message import MAX_MESSAGE_BYTES, Messages, message_group
from detector.sinks.sns.subject import ascii_subject, subject
from detector.state.store import Notification
from tests.alerts import alert
from tests.aws import CREDENTIALS
from tests.servers.checking import Fault
from tests.servers.sns import SNSServer, check_subject, error_answer
from tests.sinks import answers, sink_context
from tests.strategies import examples

TOPIC = "arn:aws:sns:us-east-1:111122223333:t"
FORMATS = ("alert", "text", "cloudwatch-alarm", "cloudevents", "ocsf")


def messages(**settings: Any) -> Messages:
    config = SNSSinkConfig(name="sns", **{"topic_arn": TOPIC, **settings})
    return Messages(config, sink_context())


def changed(**changes: Any) -> Alert:
    return msgspec.structs.replace(alert(), **changes)


async def sent_to(server: SNSServer, *notifications: Notification, **settings: Any) -> list[Answer]:
    config = SNSSinkConfig(
        name="sns", **{"topic_arn": TOPIC, "endpoint_url": server.address, **settings}
    )
    return await answers(config, *notifications)


def subject_of(server: SNSServer) -> str:
    return parse_qs(server.accepted[-1].body.decode())["Subject"][0]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def test_a_message_is_the_alert_with_what_to_filter_by() -> None:
    made = changed(accounts=["1", "2"], dedup_key="incident")
    request = messages().request(Notification(made, "updated"))
    assert request is not None
    assert json.loads(request["Message"]) == {"kind": "updated", **msgspec.to_builtins(made)}
    assert "MessageStructure" not in request
    assert "MessageGroupId" not in request
    values = {
        name: (item["DataType"], item.get("StringValue"))
        for name, item in request["MessageAttributes"].items()
    }
    assert values == {
        "alert_id": ("String", made.id),
        "incident": ("String", "incident"),
        "rule_id": ("String", made.rule_id),
        "level": ("String", "medium"),
        "kind": ("String", "updated"),
        "status": ("String", "stable"),
        "accounts": ("String.Array", '["1","2"]'),
        "regions": ("String.Array", '["us-east-1"]'),
        "tags": ("String.Array", json.dumps(made.tags, separators=(",", ":"))),
    }


def test_a_test_message_can_be_told_apart_and_no_attribute_is_empty() -> None:
    made = changed(test=True, accounts=[], regions=[], tags=[])
    attributes = attributes_of(made, "raised")
    assert attributes["test"]["StringValue"] == "true"
    assert not {"accounts", "regions", "tags"} & attributes.keys()
    assert len(attributes_of(changed(test=True), "raised")) <= MAX_ATTRIBUTES


def test_a_person_gets_the_story_as_plain_text() -> None:
    request = messages(format="text").request(Notification(alert()))
    assert request is not None
    assert request["Subject"] == "[MEDIUM] IAM policy changed"
    lines = request["Message"].splitlines()
    assert lines[0] == "[MEDIUM] IAM policy changed"
    assert any(re.fullmatch(r"who +alice", line) for line in lines)
    assert "What to do first:" in lines


def test_texts_can_be_the_operators_own() -> None:
    own = TemplatesConfig(title="{{ alert.level }}: {{ story.headline }}", text="{{ kind }} <&>")
    request = messages(format="text", templates=own).request(Notification(alert()))
    assert request is not None
    assert request["Subject"] == "medium: [MEDIUM] IAM policy changed"
    assert request["Message"] == "raised <&>"


def test_a_template_that_fails_keeps_no_alert_back(capsys: pytest.CaptureFixture[str]) -> None:
    own = TemplatesConfig(text="{{ 1 // (alert.count - 1) }}")
    request = messages(format="text", templates=own).request(Notification(alert()))
    assert request is not None
    assert request["Message"].startswith("[MEDIUM] IAM policy changed")
    assert "template not used" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="cannot be read"):
        messages(format="text", templates=TemplatesConfig(text="{{"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"format": "alert", "templates": TemplatesConfig(text="x")}, "format: text"),
        ({"format": "cloudwatch-alarm", "templates": TemplatesConfig(title="x")}, "CloudWatch's"),
    ],
)
def test_templates_that_nothing_would_use_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SNSSinkConfig(name="sns", topic_arn=TOPIC, **settings)


def test_repetitions_on_a_fifo_topic_share_an_id_and_groups_keep_their_order() -> None:
    fifo = messages(topic_arn=f"{TOPIC}.fifo")
    requests = [
        fifo.request(Notification(alert(), "raised")),
        fifo.request(Notification(changed(evidence=[]), "raised")),
        fifo.request(Notification(changed(revision=1), "updated")),
    ]
    first, again, update = (request for request in requests if request is not None)
    assert first["MessageDeduplicationId"] == again["MessageDeduplicationId"]
    assert first["MessageDeduplicationId"] != update["MessageDeduplicationId"]
    assert len(first["MessageDeduplicationId"]) == 64
    assert first["MessageGroupId"] == update["MessageGroupId"]
    assert message_id(Notification(alert())) not in first["MessageDeduplicationId"]
    assert message_group(changed(group={"a": 1})) != message_group(changed(group={"a": "1"}))
    assert message_group(changed(group={"a": 1, "b": 2})) == message_group(
        changed(group={"b": 2, "a": 1})
    )
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", message_group(changed(rule_id="x" * 128)))


@given(text=st.text(max_size=300))
def test_every_subject_follows_the_rules(text: str) -> None:
    for made in (subject(text), ascii_subject(text)):
        assert 0 < len(made.encode("utf-16-le")) // 2 < 100
        assert made == made.strip()
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", made)
    assert ascii_subject(text).isascii()


def test_a_subject_is_cut_between_characters_and_says_so() -> None:
    made = subject("\U0001f600x" * 80 + "end")
    assert made.endswith("...")
    made.encode()
    assert subject("[HIGH] short") == "[HIGH] short"
    assert subject("\U0001f600\u0301 ") == "Alert"
    assert ascii_subject("naïve — “x” 鍵") == "naive - \"x' ?"


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_LISTS = st.lists(st.builds(lambda text, times: text * times, _TEXTS, st.sampled_from([1, 400])))


@examples(40)
@given(
    title=_TEXTS,
    actors=_LISTS,
    accounts=_LISTS,
    tags=_LISTS,
    group=st.dictionaries(_TEXTS, _TEXTS | st.integers() | st.booleans() | st.none()),
    runbook=_TEXTS,
    kind=st.sampled_from(["raised", "resolved"]),
    format_=st.sampled_from(FORMATS),
)
def test_whatever_is_in_an_alert_the_service_takes_it(
    format_: str, kind: str, **fields: Any
) -> None:
    made = changed(
        **{**fields, "title": fields["title"] or "x"}, evidence=[{"x": "y" * 90_000}] * 4
    )
    for topic in (TOPIC, f"{TOPIC}.fifo"):
        request = messages(topic_arn=topic, format=format_).request(
            Notification(made, kind)  # type: ignore[arg-type]
        )
        assert request is not None
        size = len(request["Message"].encode()) + size_of(request["MessageAttributes"])
        assert size <= MAX_MESSAGE_BYTES
        assert not re.search("[\ufffe\uffff]", request["Message"])
        check_subject(request["Subject"])
        assert len(request["MessageAttributes"]) <= MAX_ATTRIBUTES
        for item in request["MessageAttributes"].values():
            assert item["StringValue"].strip()
            if item["DataType"] == "String.Array":
                assert json.loads(item["StringValue"])


async def test_a_service_that_wants_ascii_gets_it() -> None:
    german = Notification(changed(title="Größe geändert"))
    with SNSServer(ascii_subjects=True) as server:
        assert await sent_to(server, german, format="text") == [Delivered()]
        assert subject_of(server) == "[MEDIUM] Gro?e geandert"
        assert len(server.refused) == 1
    with SNSServer() as server:
        assert await sent_to(server, german, format="text") == [Delivered()]
        assert subject_of(server) == "[MEDIUM] Größe geändert"


@pytest.mark.parametrize("format_", FORMATS)
async def test_every_format_is_taken_by_both_kinds_of_topics(format_: str) -> None:
    with SNSServer() as server:
        for topic in (TOPIC, f"{TOPIC}.fifo"):
            sent = await sent_to(server, Notification(alert()), format=format_, topic_arn=topic)
            assert sent == [Delivered()]
        assert server.refused == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", Permanent),
        (400, "ParameterValueInvalid", Permanent),
        (403, "AuthorizationError", Permanent),
        (404, "NotFound", Permanent),
        (400, "Throttled", Retry),
        (400, "ThrottlingException", Retry),
        (400, "KMSThrottling", Retry),
        (400, "KMSDisabled", Retry),
        (400, "KMSAccessDenied", Retry),
        (403, "ExpiredToken", Retry),
        (403, "InvalidClientTokenId", Retry),
        (403, "SignatureDoesNotMatch", Retry),
        (500, "InternalError", Retry),
        (503, "ServiceUnavailable", Retry),
    ],
)
async def test_what_a_person_can_put_right_meanwhile_is_tried_again(
    status: int, code: str, kind: type[Answer]
) -> None:
    with SNSServer() as server:
        server.always = Fault(error_answer(status, code, "see https://evil.example/?secret"))
        (answer,) = await sent_to(server, Notification(alert()))
    assert isinstance(answer, kind)
    assert not isinstance(answer, Delivered)
    assert answer.why == f"Publish: {code}: see evil.example"


async def test_a_wait_that_the_service_asks_for_is_handed_on() -> None:
    busy = error_answer(503, "ServiceUnavailable")
    with SNSServer() as server:
        server.always = Fault(
            type(busy)(busy.status, busy.body, {**(busy.headers or {}), "Retry-After": "17"})
        )
        (answer,) = await sent_to(server, Notification(alert()))
    assert isinstance(answer, Retry)
    assert answer.after == 17


async def test_an_answer_that_is_lost_is_asked_for_once_more() -> None:
    with SNSServer(Fault(reset=True, taken=True)) as server:
        assert await sent_to(server, Notification(alert())) == [Delivered()]
        first, again = server.accepted
        assert first.body == again.body


def test_missing_credentials_may_come_and_a_host_alone_is_named() -> None:
    assert isinstance(answer_to(NoCredentialsError()), Retry)
    away = answer_to(EndpointConnectionError(endpoint_url="https://u:p4ss@sns.example/x"))
    assert away == Retry('Could not connect to the endpoint URL: "sns.example"')
    odd = ClientError({"Error": {"Code": "Odd"}}, "Publish")
    assert answer_to(odd) == Retry("Publish: Odd")


async def test_an_alarms_updates_are_not_sent() -> None:
    with SNSServer() as server:
        update = Notification(changed(revision=1), "updated")
        assert await sent_to(server, update, format="cloudwatch-alarm") == [Delivered()]
        assert server.accepted == []
