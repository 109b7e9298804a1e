"""The sink that posts to a workflow of Teams.

Source: Microsoft Teams, "Post a workflow when a webhook request is received"; Azure Logic Apps,
"Request trigger", which answers 202 where the workflow says nothing of its own.
"""

from __future__ import annotations

import msgspec

from detector.config import TeamsSinkConfig
from detector.sinks.chat import Teller, field, refused, secrets_of, unexpected, without_secrets
from detector.sinks.http import HTTPClient, RequestError, Response, answer_of
from detector.sinks.sink import Answer, Delivered, Retry, SinkContext
from detector.sinks.teams.card import message
from detector.sinks.teams.markdown import literal
from detector.state.store import Notification

TAKEN = frozenset({200, 202})
"""202 of the trigger alone, 200 of a workflow that has a response of its own."""


class TeamsSink:
    """A `Sink` that is a channel or chat of Teams.

    The address has a signature in it, `sig`, and is the credential: never shown. One message at a
    time, as they are shown in the order of their coming.
    """

    concurrency = 1

    def __init__(self, config: TeamsSinkConfig, context: SinkContext) -> None:
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
        """Post a card. The workflow has it when it answers; what it then does cannot be seen."""
        try:
            response = await self._client.post(
                self._url,
                message(self._teller.tell(notification)),
                {"Content-Type": "application/json; charset=utf-8"},
            )
        except RequestError as failure:
            return Retry(failure.message)
        return without_secrets(_answer(response), *secrets_of(self._url))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _answer(response: Response) -> Answer:
    answer = answer_of(response)
    if isinstance(answer, Delivered) and response.status not in TAKEN:
        return unexpected(response, "202")
    return refused(response, answer, _said(response.body))


def _said(body: bytes) -> str:
    """Return what the workflow service says is wrong: a code, and a sentence."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    said = (field(answer, "error", "code"), field(answer, "error", "message"))
    return ": ".join(filter(None, said))
