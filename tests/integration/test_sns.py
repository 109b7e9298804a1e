"""The SNS sink on moto and on LocalStack: filters, FIFO topics, sizes, subjects."""

import json
import uuid
from typing import Any

import msgspec
import pytest
from localstack_client.session import Session

from detector.alerts.alert import Alert
from detector.config import SNSSinkConfig
from detector.sinks.sink import Delivered, Permanent, Retry
from detector.sinks.sns.attributes import size_of
from detector.sinks.sns.message import MAX_MESSAGE_BYTES
from detector.state.store import Notification
from tests.alerts import alert
from tests.aws import CREDENTIALS, REGION
from tests.servers import free_port
from tests.sinks import answers
from tests.waiting import wait_for

pytestmark = pytest.mark.integration


class Topic:
    """A topic with queues, and the sink's configuration for it."""

    def __init__(self, host: str, *, fifo: bool = False) -> None:
        session = Session(region_name=REGION, localstack_host=host)
        self._sns, self._sqs = session.client("sns"), session.client("sqs")
        self._fifo = {"FifoQueue": "true"} if fifo else {}
        self._end = ".fifo" if fifo else ""
        self.arn = self._sns.create_topic(
            Name=f"t-{uuid.uuid4().hex}{self._end}",
            Attributes={"FifoTopic": "true"} if fifo else {},
        )["TopicArn"]
        self.endpoint = f"http://{host}"

    def queue(self, policy: dict[str, Any] | None = None, *, raw: bool = True) -> str:
        """Subscribe a new queue, and return its address."""
        queue = self._sqs.create_queue(
            QueueName=f"q-{uuid.uuid4().hex}{self._end}", Attributes=self._fifo
        )["QueueUrl"]
        answer = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        attributes = {"RawMessageDelivery": str(raw).lower()}
        if policy:
            attributes["FilterPolicy"] = json.dumps(policy)
        self._sns.subscribe(
            TopicArn=self.arn,
            Protocol="sqs",
            Endpoint=answer["Attributes"]["QueueArn"],
            Attributes=attributes,
        )
        return str(queue)

    def config(self, **settings: Any) -> SNSSinkConfig:
        return SNSSinkConfig(name="sns", topic_arn=self.arn, endpoint_url=self.endpoint, **settings)

    def received(self, queue: str, count: int) -> list[dict[str, Any]]:
        """Take so many messages from a queue, in their order."""
        taken: list[dict[str, Any]] = []

        def all_of_them() -> bool:
            answer = self._sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                AttributeNames=["All"],
            )
            for message in answer.get("Messages", []):
                taken.append(message)
                self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return len(taken) >= count

        wait_for(all_of_them)
        assert len(taken) == count
        return taken

    def is_empty(self, queue: str) -> bool:
        return "Messages" not in self._sqs.receive_message(QueueUrl=queue)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["moto", "localstack"])
def host(request: pytest.FixtureRequest) -> str:
    fixture = "moto" if request.param == "moto" else "localstack_host"
    return str(request.getfixturevalue(fixture))


def changed(**changes: Any) -> Alert:
    return msgspec.structs.replace(alert(), **changes)


def values(message: dict[str, Any]) -> dict[str, str]:
    return {
        name: item["StringValue"] for name, item in message.get("MessageAttributes", {}).items()
    }


async def test_subscriptions_get_what_they_filter_for(host: str) -> None:
    topic = Topic(host)
    everything = topic.queue()
    serious = topic.queue({"level": ["high", "critical"]})
    production = topic.queue({"accounts": ["444455556666"], "kind": ["raised"]})
    tactics = topic.queue({"tags": ["attack.exfiltration"]})
    high = changed(id="high", level="high")
    elsewhere = changed(id="elsewhere", accounts=["111122223333", "444455556666"])
    stolen = changed(id="stolen", tags=["attack.exfiltration"])
    sent = [Notification(item) for item in (high, elsewhere, stolen)]
    assert await answers(topic.config(), *sent) == [Delivered()] * 3
    bodies = [json.loads(message["Body"]) for message in topic.received(everything, 3)]
    assert {body["id"] for body in bodies} == {"high", "elsewhere", "stolen"}
    for queue, id_ in ((serious, "high"), (production, "elsewhere"), (tactics, "stolen")):
        (message,) = topic.received(queue, 1)
        assert json.loads(message["Body"])["id"] == id_
        assert values(message)["alert_id"] == id_
        assert topic.is_empty(queue)


async def test_a_subject_comes_through_as_it_was_sent(host: str) -> None:
    topic = Topic(host)
    queue = topic.queue(raw=False)
    hostile = changed(title="Größe — naïve\r\nBcc: a@b\u202e\u2028" + "\U0001f600" * 80)
    assert await answers(topic.config(format="text"), Notification(hostile)) == [Delivered()]
    (message,) = topic.received(queue, 1)
    envelope = json.loads(message["Body"])
    assert envelope["Subject"].startswith("[MEDIUM] Größe — naïve Bcc: a@b \U0001f600")
    assert len(envelope["Subject"].encode("utf-16-le")) // 2 <= 99
    assert envelope["Message"].startswith("[MEDIUM] Größe — naïve")
    assert set(envelope["MessageAttributes"]) >= {"alert_id", "level", "kind"}


async def test_repetitions_are_dropped_and_order_holds_on_a_fifo_topic(host: str) -> None:
    topic = Topic(host, fifo=True)
    queue = topic.queue()
    updates = [
        Notification(changed(revision=number), "updated" if number else "raised")
        for number in range(5)
    ]
    repeated = [item for item in updates for _ in range(2)]
    over = Notification(changed(revision=5, state="resolved"), "resolved")
    sent = [*repeated, over, updates[0]]
    assert await answers(topic.config(), *sent) == [Delivered()] * len(sent)
    messages = topic.received(queue, 6)
    bodies = [json.loads(message["Body"]) for message in messages]
    assert [(body["revision"], body["kind"]) for body in bodies] == [
        (0, "raised"),
        *((number, "updated") for number in range(1, 5)),
        (5, "resolved"),
    ]
    assert len({message["Attributes"]["MessageGroupId"] for message in messages}) == 1
    assert topic.is_empty(queue)


@pytest.mark.parametrize("sign", ["y", "é", "\U0001f600", '"', "\x01"])
async def test_what_is_too_large_is_cut_to_the_very_limit(host: str, sign: str) -> None:
    topic = Topic(host)
    queue = topic.queue()
    evidence = [{"x": sign * 10_000, "n": number} for number in range(60)]
    large = changed(evidence=evidence, count=60)
    assert await answers(topic.config(), Notification(large)) == [Delivered()]
    (message,) = topic.received(queue, 1)
    body = json.loads(message["Body"])
    assert body["evidence"] == evidence[: len(body["evidence"])]
    assert body["truncated"] == ["evidence"]
    size = len(message["Body"].encode()) + size_of(message["MessageAttributes"])
    one_more = len(msgspec.json.encode(evidence[0])) + 1
    assert MAX_MESSAGE_BYTES - one_more < size <= MAX_MESSAGE_BYTES


async def test_an_alert_that_is_all_lists_and_texts_still_goes_out(host: str) -> None:
    topic = Topic(host)
    queue = topic.queue()
    names = [f"{number:05d}" + "é" * 200 for number in range(2_000)]
    large = changed(actors=names, event_ids=names, accounts=names, runbook="ü" * 300_000)
    sent = [
        answer
        for format_ in ("alert", "text", "cloudevents", "ocsf", "cloudwatch-alarm")
        for answer in await answers(topic.config(format=format_), Notification(large))
    ]
    assert sent == [Delivered()] * 5
    assert len(topic.received(queue, 5)) == 5


async def test_an_alarm_is_published_as_cloudwatch_does_it(host: str) -> None:
    topic = Topic(host)
    queue = topic.queue(raw=False)
    config = topic.config(format="cloudwatch-alarm")
    raised, over = Notification(alert()), Notification(changed(state="resolved"), "resolved")
    update = Notification(changed(revision=1), "updated")
    assert await answers(config, raised, update, over) == [Delivered()] * 3
    envelopes = [json.loads(message["Body"]) for message in topic.received(queue, 2)]
    by_state = {
        json.loads(envelope["Message"])["NewStateValue"]: envelope for envelope in envelopes
    }
    assert by_state.keys() == {"ALARM", "OK"}
    subject = 'ALARM: "IAM policy changed (111122223333)" in US East (N. Virginia)'
    assert by_state["ALARM"]["Subject"] == subject


async def test_a_topic_that_is_not_there_refuses_for_good(host: str) -> None:
    topic = Topic(host)
    config = msgspec.structs.replace(topic.config(), topic_arn=f"{topic.arn}-nope")
    (answer,) = await answers(config, Notification(alert()))
    assert isinstance(answer, Permanent)
    assert answer.why.startswith("Publish: NotFound")


async def test_an_endpoint_that_is_down_is_tried_again_and_not_named_in_full() -> None:
    config = SNSSinkConfig(
        name="sns",
        topic_arn=f"arn:aws:sns:{REGION}:111122223333:t",
        endpoint_url=f"http://127.0.0.1:{free_port()}/hunter2",
    )
    (answer,) = await answers(config, Notification(alert()))
    assert isinstance(answer, Retry)
    assert "127.0.0.1" in answer.why
    assert "hunter2" not in answer.why
