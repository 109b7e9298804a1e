"""Standard output: for people on a terminal, for programs elsewhere."""

from __future__ import annotations

import sys

import msgspec

from detector.alerts.alert import Alert
from detector.alerts.text import alert_text
from detector.config import StdoutSinkConfig
from detector.errors import SinkError
from detector.sinks.sink import Answer, Delivered


class StdoutSink:
    """A `Sink` that prints."""

    def __init__(self, config: StdoutSinkConfig) -> None:
        self.name = config.name
        self._as_text = config.format == "text" or (config.format == "auto" and sys.stdout.isatty())

    async def open(self) -> None:
        """Nothing to prepare."""

    async def send(self, alert: Alert) -> Answer:
        """Print the alert.

        Raises:
            SinkError: nobody reads standard output any more.
        """
        text = alert_text(alert) + "\n" if self._as_text else msgspec.json.encode(alert).decode()
        try:
            print(text, flush=True)  # noqa: T201
        except OSError as error:
            raise SinkError(
                f"sink {self.name}: standard output cannot be written: {error.strerror}"
            ) from error
        return Delivered()

    async def close(self) -> None:
        """Nothing to let go of."""
