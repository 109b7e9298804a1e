"""A generic webhook: each message a JSON POST, by Standard Webhooks.

`webhook-id` is the alert's id and revision, and what to do with it; the same on every attempt, so
that a receiver can tell a repetition from news.

Source: Standard Webhooks 1.0.0.
"""

from __future__ import annotations

from detector.alerts.formats import body_of
from detector.config import WebhookSinkConfig
from detector.sinks.http import HTTPClient, RequestError, answer_of
from detector.sinks.signing import key_of, signature_header
from detector.sinks.sink import Answer, Permanent, Retry, SinkContext, message_id
from detector.state.store import Notification

MAX_BODY_BYTES = 1_000_000
"""What most servers and gateways take by default, nginx 1 MiB. An alert has some kilobytes, and
some tens of them with all its evidence."""

GONE = 410


class WebhookSink:
    """A `Sink` that posts to a URL. The URL may be a secret: only its host is ever shown."""

    concurrency = 8

    def __init__(self, config: WebhookSinkConfig, context: SinkContext) -> None:
        self.name = config.name
        self._config = config
        self._keys = [key_of(secret) for secret in config.signing_secrets]
        self._now = context.now
        self._client = HTTPClient(config, context.egress)

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        await self._client.open()

    async def send(self, notification: Notification) -> Answer:
        """Post the alert, signed for this attempt; redirects are not followed."""
        body, content_type = body_of(self._config.format, notification, MAX_BODY_BYTES)
        identity, timestamp = message_id(notification), int(self._now())
        headers = {
            **self._config.headers,
            "Content-Type": content_type,
            "webhook-id": identity,
            "webhook-timestamp": str(timestamp),
        }
        if self._keys:
            headers["webhook-signature"] = signature_header(self._keys, identity, timestamp, body)
        try:
            response = await self._client.post(self._config.url, body, headers)
        except RequestError as failure:
            return Retry(failure.message)
        if response.status == GONE:
            return Permanent(
                f"{response.host} answered {GONE}: it wants no more messages, ever;"
                " give the sink a new url, or take it out of the configuration"
            )
        return answer_of(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
