"""Posting to Alertmanagers: what fires again and again, as they forget what they do not hear of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from detector.config import AlertmanagerSinkConfig
from detector.sinks.alertmanager.alerts import newest_of_each, postable
from detector.sinks.http import HTTPClient, RequestError, answer_of
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, SinkContext
from detector.state.store import Notification

PATH = "/api/v2/alerts"

CHUNK = 200
"""Alerts in one request: some hundred kilobytes, which is answered at once."""

log = structlog.get_logger()


class AlertmanagerSink:
    """A `Refreshing` sink that posts to each of some Alertmanagers.

    Members of a cluster do not tell each other of alerts, so that each is told. One that has taken
    an alert is enough: the others get it with the next refresh.
    """

    concurrency = 4

    def __init__(self, config: AlertmanagerSinkConfig, context: SinkContext) -> None:
        self.name = config.name
        self.refresh_seconds = config.resend_seconds
        self._config = config
        self._reading = context.reading
        self._now = context.now
        self._client = HTTPClient(config, context.egress)
        self._urls = [url.rstrip("/") + PATH for url in config.urls]

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        await self._client.open()

    async def send(self, notification: Notification) -> Answer:
        """Post one alert: firing, or resolved."""
        return await self._post([notification])

    async def refresh(self, notifications: Sequence[Notification]) -> Answer:
        """Post all that is open; the answer is the worst that a part of it got."""
        newest = newest_of_each(notifications)
        parts = [newest[start : start + CHUNK] for start in range(0, len(newest), CHUNK)]
        return _worst([await self._post(part) for part in parts])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _post(self, notifications: Sequence[Notification]) -> Answer:
        now = datetime.fromtimestamp(self._now(), UTC)
        body = msgspec.json.encode([self._postable(item, now) for item in notifications])
        answers = await asyncio.gather(*(self._post_to(url, body) for url in self._urls))
        if not any(isinstance(answer, Delivered) for answer in answers):
            return _most_hopeful(answers)
        for answer in answers:
            if not isinstance(answer, Delivered):
                log.warning(
                    "one Alertmanager has not taken an alert, another has",
                    sink=self.name,
                    why=answer.why,
                )
        return Delivered()

    def _postable(self, notification: Notification, now: datetime) -> dict[str, Any]:
        return postable(
            notification,
            now=now,
            resend_seconds=self._config.resend_seconds,
            added=self._config.labels,
            reading=self._reading,
        )

    async def _post_to(self, url: str, body: bytes) -> Answer:
        headers = {**self._config.headers, "Content-Type": "application/json"}
        try:
            return answer_of(await self._client.post(url, body, headers))
        except RequestError as failure:
            return Retry(failure.message)


def _most_hopeful(answers: Sequence[Answer]) -> Answer:
    """Return the refusal after which another attempt comes first; there is one at least."""
    retries = [answer for answer in answers if isinstance(answer, Retry)]
    return min(retries, key=lambda answer: answer.after or 0.0) if retries else answers[0]


def _worst(answers: Sequence[Answer]) -> Answer:
    """Return the answer that most is to be done about: Permanent, then Retry."""
    for kind in (Permanent, Retry):
        for answer in answers:
            if isinstance(answer, kind):
                return answer
    return Delivered()
