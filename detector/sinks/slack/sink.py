"""The sink that posts to an incoming webhook of Slack.

Source: Slack, "Sending messages using incoming webhooks", Handling errors; "Rate limits".
"""

from __future__ import annotations

from detector.config import SlackSinkConfig
from detector.sinks.chat import Teller, secrets_of, unexpected, without_secrets
from detector.sinks.http import HTTPClient, RequestError, answer_of
from detector.sinks.sink import Answer, Delivered, Retry, SinkContext
from detector.sinks.slack.blocks import message
from detector.sinks.slack.mrkdwn import literal
from detector.state.store import Notification


class SlackSink:
    """A `Sink` that is a Slack channel. The webhook's address is the credential: never shown.

    One message at a time: Slack takes one a second, and shows them in the order of their coming.
    """

    concurrency = 1

    def __init__(self, config: SlackSinkConfig, context: SinkContext) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self.name = config.name
        self._url = config.url
        self._client = HTTPClient(config, context.egress)
        self._teller = Teller(config.templates, context.reading, literal)

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        await self._client.open()

    async def send(self, notification: Notification) -> Answer:
        """Post a message; Slack has it once it says `ok`."""
        try:
            response = await self._client.post(
                self._url,
                message(self._teller.tell(notification)),
                {"Content-Type": "application/json; charset=utf-8"},
            )
        except RequestError as failure:
            return Retry(failure.message)
        answer = answer_of(response)
        if isinstance(answer, Delivered) and response.body.strip() != b"ok":
            answer = unexpected(response, "ok")
        return without_secrets(answer, *secrets_of(self._url))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
