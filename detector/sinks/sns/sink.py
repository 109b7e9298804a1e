"""Publishing to a topic.

Source: Amazon SNS API Reference, "Publish".
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from detector.aws import AWSCallError, describe
from detector.config import SNSSinkConfig
from detector.errors import SinkError
from detector.sinks.aws import CLIENT_CONFIG, answer_to
from detector.sinks.sink import Answer, Delivered, SinkContext
from detector.sinks.sns.message import Messages
from detector.sinks.sns.subject import ascii_subject
from detector.state.store import Notification

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient


class SNSSink:
    """A `Sink` that publishes to a topic."""

    concurrency = 8

    def __init__(self, config: SNSSinkConfig, context: SinkContext) -> None:
        """Read what the configuration says.

        Raises:
            ConfigError: one of the templates is none.
        """
        self.name = config.name
        self._config = config
        self._messages = Messages(config, context)
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
                    "sns", region, endpoint_url=self._config.endpoint_url, config=CLIENT_CONFIG
                )
            )
        except (*AWSCallError, ValueError) as error:
            raise SinkError(f"sink {self.name}: {describe(error)}") from error

    async def send(self, notification: Notification) -> Answer:
        """Publish the alert, with a plainer subject if the first one is refused."""
        assert self._client is not None  # noqa: S101 - open() comes first
        request = self._messages.request(notification)
        if request is None:
            return Delivered()
        try:
            try:
                await self._client.publish(**request)
            except ClientError as error:
                subject = request.get("Subject", "")
                plain = ascii_subject(subject)
                if plain == subject or not is_about_subject(error):
                    raise
                request["Subject"] = plain
                await self._client.publish(**request)
        except AWSCallError as error:
            return answer_to(error)
        return Delivered()

    async def close(self) -> None:
        """Disconnect."""
        await self._clients.aclose()


def is_about_subject(error: ClientError) -> bool:
    """Return whether it was a message's subject that the service did not take."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return message.startswith("Invalid parameter: Subject")
