"""A trail on moto server: a bucket that announces its objects on a queue, a topic for alerts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localstack_client.config import get_service_endpoint
from localstack_client.session import Session

from tests.servers import free_port
from tests.waiting import wait_for

REGION = "us-east-1"

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """Run a moto server on a free port, and yield its host and port."""
    port = free_port()
    host = f"127.0.0.1:{port}"
    with (folder / "moto.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, **CREDENTIALS},
        )
        try:
            wait_for(lambda: _answers(f"http://{host}/moto-api/"))
            yield host
        finally:
            server.terminate()
            server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return True
    except OSError:
        return False


class Trail:
    """What an operator sets up in AWS for the detector, under names of its own."""

    def __init__(self, host: str, *, visibility_timeout: int = 30) -> None:
        self.endpoint = get_service_endpoint("s3", localstack_host=host)
        self.session = session = Session(region_name=REGION, localstack_host=host)
        name = f"trail-{uuid.uuid4().hex[:12]}"
        self.bucket = name
        self.s3 = session.client("s3")
        self.sqs = session.client("sqs")
        self.sns = session.client("sns")
        self.queue = self.sqs.create_queue(
            QueueName=name, Attributes={"VisibilityTimeout": str(visibility_timeout)}
        )["QueueUrl"]
        self.topic = self.sns.create_topic(Name=name)["TopicArn"]
        self._inbox = self.sqs.create_queue(QueueName=f"{name}-inbox")["QueueUrl"]
        self.sns.subscribe(
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=self._arn(self._inbox),
            Attributes={"RawMessageDelivery": "true"},
        )
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {"QueueArn": self._arn(self.queue), "Events": ["s3:ObjectCreated:*"]}
                ]
            },
        )
        self._take_test_event()

    def put(self, name: str, body: bytes) -> None:
        """Deliver a log file as CloudTrail does."""
        key = f"AWSLogs/111122223333/CloudTrail/us-east-1/2026/09/16/{name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def send(self, body: str) -> None:
        """Put a message of any kind on the queue."""
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def config(self, **changes: Any) -> dict[str, Any]:
        """Return the detector's configuration for this trail.

        It has one receiver: moto can hand the same message to two that ask at the same moment.
        """
        source = {
            "type": "s3_sqs",
            "name": "trail",
            "queue_url": self.queue,
            "buckets": [{"bucket": self.bucket, "prefixes": ["AWSLogs/"]}],
            "region": REGION,
            "endpoint_url": self.endpoint,
            "receivers": 1,
            "wait_seconds": 1,
            **changes,
        }
        topic = {"type": "sns", "topic_arn": self.topic, "endpoint_url": self.endpoint}
        return {"sources": [source], "sinks": [topic]}

    def queue_counts(self) -> tuple[int, int]:
        """Return how many messages wait on the queue, and how many are in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return int(answer["Attributes"][names[0]]), int(answer["Attributes"][names[1]])

    def published(self) -> list[dict[str, Any]]:
        """Take the alerts that have come to the topic's subscribed queue since the last call."""
        alerts: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=self._inbox, MaxNumberOfMessages=10
        ).get("Messages"):
            alerts += [json.loads(message["Body"]) for message in messages]
            self.sqs.delete_message_batch(
                QueueUrl=self._inbox,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(messages)
                ],
            )
        return alerts

    def _take_test_event(self) -> None:
        """Take what S3 sends when notifications are set up: tests count what comes after it."""
        (message,) = wait_for(
            lambda: self.sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=1).get("Messages")
        )
        assert "s3:TestEvent" in message["Body"]
        self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

    def _arn(self, queue_url: str) -> str:
        answer = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])
