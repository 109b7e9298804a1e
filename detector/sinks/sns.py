"""An SNS topic: the alert as JSON, with attributes that subscriptions can filter on.

Source: Amazon SNS API Reference, "Publish"; Developer Guide, "Amazon SNS message attributes".
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from detector.alerts.alert import Alert
from detector.alerts.text import NotificationKind, alert_json, clean
from detector.aws import AWSCallError, describe, is_permanent
from detector.config import SNSSinkConfig
from detector.errors import SinkError
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, SinkContext, message_id
from detector.state.store import Notification

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sns.type_defs import MessageAttributeValueTypeDef, PublishInputTypeDef

MAX_MESSAGE_BYTES = 250_000
"""SNS takes 262,144 for the body and its attributes together."""

MAX_SUBJECT_CHARACTERS = 99
"""SNS takes less than 100, without line breaks and control characters."""


class SNSSink:
    """A `Sink` that publishes to a topic."""

    concurrency = 8

    def __init__(self, config: SNSSinkConfig, context: SinkContext) -> None:
        del context
        self.name = config.name
        self._config = config
        self._clients = AsyncExitStack()
        self._client: SNSClient | None = None

    async def open(self) -> None:
        """Prepare the client.

        Raises:
            SinkError: no region, or an endpoint that is none.
        """
        region = self._config.region or self._config.topic_arn.split(":")[3]
        try:
            self._client = await self._clients.enter_async_context(
                get_session().create_client(
                    "sns",
                    region,
                    endpoint_url=self._config.endpoint_url,
                    config=AioConfig(connect_timeout=5, read_timeout=15),
                )
            )
        except AWSCallError as error:
            raise SinkError(f"sink {self.name}: {describe(error)}") from error

    async def send(self, notification: Notification) -> Answer:
        """Publish the alert."""
        assert self._client is not None  # noqa: S101 - open() comes first
        try:
            await self._client.publish(**self._request(notification))
        except AWSCallError as error:
            return (Permanent if is_permanent(error) else Retry)(describe(error))
        return Delivered()

    async def close(self) -> None:
        """Disconnect."""
        await self._clients.aclose()

    def _request(self, notification: Notification) -> PublishInputTypeDef:
        alert = notification.alert
        topic = self._config.topic_arn
        request: PublishInputTypeDef = {
            "TopicArn": topic,
            "Subject": clean(f"[{alert.level.upper()}] {alert.title}")[:MAX_SUBJECT_CHARACTERS],
            "Message": fitting_message(alert, notification.kind),
            "MessageAttributes": {
                "alert_id": _string(alert.id),
                "rule_id": _string(alert.rule_id),
                "level": _string(alert.level),
                "kind": _string(notification.kind),
            },
        }
        if topic.endswith(".fifo"):
            request["MessageGroupId"] = alert.rule_id
            request["MessageDeduplicationId"] = message_id(notification)
        return request


def fitting_message(alert: Alert, kind: NotificationKind) -> str:
    """Return the alert's JSON, without the last pieces of evidence if it would not fit."""
    message = alert_json(alert, kind)
    while len(message) > MAX_MESSAGE_BYTES and alert.evidence:
        alert = msgspec.structs.replace(alert, evidence=alert.evidence[:-1])
        message = alert_json(alert, kind)
    return message.decode()


def _string(value: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": value}
