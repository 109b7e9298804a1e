"""Importing findings.

Source: AWS Security Hub API Reference, "BatchImportFindings".
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiobotocore.session import get_session

from detector.alerts.plain import clean
from detector.aws import AWSCallError, describe
from detector.config import SecurityHubSinkConfig
from detector.errors import SinkError
from detector.sinks.aws import CLIENT_CONFIG, answer_to
from detector.sinks.http import MAX_SHOWN
from detector.sinks.security_hub.finding import finding_of
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, SinkContext
from detector.state.store import Notification

if TYPE_CHECKING:
    from types_aiobotocore_securityhub import SecurityHubClient
    from types_aiobotocore_securityhub.type_defs import ImportFindingsErrorTypeDef

REFUSED = "InvalidInput"
"""The code of a finding that is not well-formed. The reference lists none of these codes; those of
throttling and of failures within Security Hub pass by themselves."""

_MILLISECOND = 0.001
"""What times of findings are told apart by."""


class SecurityHubSink:
    """A `Sink` that imports each incident as a finding, and updates it."""

    concurrency = 4

    def __init__(self, config: SecurityHubSinkConfig, context: SinkContext) -> None:
        self.name = config.name
        self._config = config
        self._reading = context.reading
        self._now = context.now
        self._updated = 0.0
        self._clients = AsyncExitStack()
        self._client: SecurityHubClient | None = None

    async def open(self) -> None:
        """Prepare the client.

        Raises:
            SinkError: no region, or an endpoint that is none.
        """
        try:
            self._client = await self._clients.enter_async_context(
                get_session().create_client(
                    "securityhub",
                    self._config.region,
                    endpoint_url=self._config.endpoint_url,
                    config=CLIENT_CONFIG,
                )
            )
        except (*AWSCallError, ValueError) as error:
            raise SinkError(f"sink {self.name}: {describe(error)}") from error

    async def send(self, notification: Notification) -> Answer:
        """Import the finding; an answer of 200 can hold a refusal, too."""
        assert self._client is not None  # noqa: S101 - open() comes first
        finding = finding_of(
            notification, updated=self._later(), config=self._config, reading=self._reading
        )
        try:
            imported = await self._client.batch_import_findings(Findings=[finding])
        except AWSCallError as error:
            return answer_to(error)
        if imported["FailedCount"]:
            return _answer_to_failed(imported.get("FailedFindings", []))
        return Delivered()

    async def close(self) -> None:
        """Disconnect."""
        await self._clients.aclose()

    def _later(self) -> datetime:
        """Return now, but later than ever before: of two updates the later one is kept."""
        self._updated = max(self._now(), self._updated + _MILLISECOND)
        return datetime.fromtimestamp(self._updated, UTC)


def _answer_to_failed(failed: list[ImportFindingsErrorTypeDef]) -> Answer:
    if not failed:
        return Retry("BatchImportFindings: failed, without a reason")
    code, message = failed[0].get("ErrorCode", ""), failed[0].get("ErrorMessage", "")
    why = clean(f"BatchImportFindings: {code}: {message}")[:MAX_SHOWN].strip()
    return Permanent(why) if code == REFUSED else Retry(why)
