"""Every way in which CloudTrail's events come to a queue, set up on an emulator as in AWS."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.aws import REGION, Trail
from tests.records import ACCOUNT, log_file
from tests.servers.fault_proxy import Condition, FaultProxy

KEY = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/09/16/"

VISIBILITY = 6
"""The shortest that the configuration takes."""


def asks(part: str) -> Condition:
    """Return the condition that an object with this in its path is asked for."""
    return lambda request: request.method == "GET" and part in request.path


class Ways(Trail):
    """A queue to which a bucket each announces its objects: directly, by SNS, by EventBridge.

    A topic more stands for that of a trail, on which CloudTrail itself tells of its files.
    """

    def __init__(self, host: str, **settings: int) -> None:
        super().__init__(host, **settings)
        self._events = self.session.client("events")
        self.wrapped = self._bucket(self._announced_by_sns(raw=False))
        self.raw = self._bucket(self._announced_by_sns(raw=True))
        self.bridged = self._bucket({"EventBridgeConfiguration": {}})
        self._bridge()
        for _ in (self.wrapped, self.raw):
            self._take_test_event()
        self.told = self._bucket({})
        self._trail_topic = self._topic(raw=False)
        self._raw_trail_topic = self._topic(raw=True)

    @property
    def buckets(self) -> list[str]:
        """All buckets, each with its own way."""
        return [self.bucket, self.wrapped, self.raw, self.bridged, self.told]

    def config(self, **changes: Any) -> dict[str, Any]:
        """Return the detector's configuration, with all buckets in its list."""
        listed = [{"bucket": name, "prefixes": ["AWSLogs/"]} for name in self.buckets]
        return super().config(**{"buckets": listed, **changes})

    def through(self, proxy: FaultProxy, **changes: Any) -> dict[str, Any]:
        """Return the detector's configuration on a way that faults lie on."""
        config = self.config(
            endpoint_url=proxy.address, visibility_timeout_seconds=VISIBILITY, **changes
        )
        return {**config, "sinks": [{"type": "stdout"}]}

    def deliver(self, bucket: str, name: str, *records: dict[str, Any]) -> str:
        """Put a log file into a bucket, and return its key."""
        self.s3.put_object(Bucket=bucket, Key=KEY + name, Body=log_file(*records))
        return KEY + name

    def tell(self, *keys: str, raw: bool = False) -> None:
        """Publish what CloudTrail does when it has delivered log files."""
        self._publish({"s3Bucket": self.told, "s3ObjectKey": keys}, raw=raw)

    def validate_topic(self) -> None:
        """Publish what CloudTrail does when a topic is given to a trail."""
        self.sns.publish(TopicArn=self._trail_topic, Message="CloudTrail validation message.")

    def put_event(self, record: dict[str, Any]) -> None:
        """Put a message on the queue as a rule of EventBridge for CloudTrail's events does."""
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.iam",
            "account": ACCOUNT,
            "time": record["eventTime"],
            "region": REGION,
            "resources": [],
            "detail": record,
        }
        self.send(json.dumps(event))

    def set_redrive(self, receives: int) -> str:
        """Set messages aside that were received so often; return the queue where they go."""
        dead = self.sqs.create_queue(QueueName=f"dead-{uuid.uuid4().hex[:12]}")["QueueUrl"]
        policy = {"deadLetterTargetArn": self._arn(dead), "maxReceiveCount": receives}
        self.sqs.set_queue_attributes(
            QueueUrl=self.queue, Attributes={"RedrivePolicy": json.dumps(policy)}
        )
        return str(dead)

    def stranger(self) -> str:
        """Return a bucket that announces its objects on the queue, and is not ours."""
        arn = self._arn(self.queue)
        notified = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
        name = self._bucket({"QueueConfigurations": [notified]})
        self._take_test_event()
        return name

    def count(self, queue: str) -> int:
        """Return how many messages wait on a queue."""
        name = "ApproximateNumberOfMessages"
        answer = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _publish(self, message: object, *, raw: bool) -> None:
        topic = self._raw_trail_topic if raw else self._trail_topic
        self.sns.publish(TopicArn=topic, Message=json.dumps(message))

    def _bucket(self, notifications: dict[str, Any]) -> str:
        name = f"ways-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=name)
        if notifications:
            self.s3.put_bucket_notification_configuration(
                Bucket=name, NotificationConfiguration=notifications
            )
        return name

    def _announced_by_sns(self, *, raw: bool) -> dict[str, Any]:
        topic = {"TopicArn": self._topic(raw=raw), "Events": ["s3:ObjectCreated:*"]}
        return {"TopicConfigurations": [topic]}

    def _topic(self, *, raw: bool) -> str:
        topic = self.sns.create_topic(Name=f"ways-{uuid.uuid4().hex[:12]}")["TopicArn"]
        self.sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=self._arn(self.queue),
            Attributes={"RawMessageDelivery": str(raw).lower()},
        )
        return str(topic)

    def _bridge(self) -> None:
        rule = f"ways-{uuid.uuid4().hex[:12]}"
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [self.bridged]}},
        }
        self._events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
        self._events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": self._arn(self.queue)}])
