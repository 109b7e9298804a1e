"""A generic webhook: each alert a JSON POST.

`webhook-id` is the alert's id and revision, and what to do with it; the same on every attempt, so
that a receiver can tell a repetition from news.
"""

from __future__ import annotations

from detector.alerts.text import alert_json
from detector.config import WebhookSinkConfig
from detector.sinks.http import HTTPClient, RequestError, answer_of
from detector.sinks.sink import Answer, Retry, SinkContext, message_id
from detector.state.store import Notification


class WebhookSink:
    """A `Sink` that posts to a URL. The URL may be a secret: only its host is ever shown."""

    concurrency = 8

    def __init__(self, config: WebhookSinkConfig, context: SinkContext) -> None:
        self.name = config.name
        self._config = config
        self._client = HTTPClient(config, context.egress)

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        await self._client.open()

    async def send(self, notification: Notification) -> Answer:
        """Post the alert; redirects are not followed."""
        try:
            response = await self._client.post(
                self._config.url,
                alert_json(notification.alert, notification.kind),
                {
                    **self._config.headers,
                    "Content-Type": "application/json",
                    "webhook-id": message_id(notification),
                },
            )
        except RequestError as failure:
            return Retry(failure.message)
        return answer_of(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
