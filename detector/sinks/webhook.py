"""A generic webhook: each alert a JSON POST.

`webhook-id` is the alert's id and revision, and what to do with it; the same on every attempt, so
that a receiver can tell a repetition from news.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from detector import __version__
from detector.alerts.text import alert_json
from detector.config import WebhookSinkConfig
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, message_id
from detector.state.store import Notification

RETRYABLE_STATUSES = frozenset({408, 421, 425, 429})
"""Client errors that pass by themselves; all other 4xx are the receiver's last word."""

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A receiver cannot put a page off for longer than that."""


class WebhookSink:
    """A `Sink` that posts to a URL. The URL may be a secret: only its host is ever shown."""

    def __init__(self, config: WebhookSinkConfig) -> None:
        self.name = config.name
        self._config = config
        self._host = urlsplit(config.url).hostname
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": f"cloudtrail-detector/{__version__}", **self._config.headers},
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_seconds),
            trust_env=True,
        )

    async def send(self, notification: Notification) -> Answer:
        """Post the alert; redirects are not followed."""
        alert = notification.alert
        assert self._session is not None  # noqa: S101 - open() comes first
        try:
            async with self._session.post(
                self._config.url,
                data=alert_json(alert, notification.kind),
                headers={
                    "Content-Type": "application/json",
                    "webhook-id": message_id(notification),
                },
                allow_redirects=False,
            ) as response:
                return self._answer(response)
        except TimeoutError:
            return Retry(f"{self._host} did not answer in {self._config.timeout_seconds} s")
        except (aiohttp.ClientError, OSError) as error:
            return Retry(f"{self._host}: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004
            return Delivered()
        why = f"{self._host} answered {status}"
        if status >= 500 or status in RETRYABLE_STATUSES:  # noqa: PLR2004
            return Retry(why, retry_after_seconds(response.headers.get("Retry-After")))
        return Permanent(why)


def retry_after_seconds(header: str | None) -> float | None:
    """Return the wait that a Retry-After header asks for, as seconds or as a date (RFC 9110)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
