"""Standard output: for people on a terminal, for programs elsewhere."""

from __future__ import annotations

import sys

from detector.alerts.story import tell
from detector.alerts.templates import Templates
from detector.alerts.text import alert_json, story_lines
from detector.config import StdoutSinkConfig
from detector.errors import SinkError
from detector.sinks.sink import Answer, Delivered, SinkContext
from detector.state.store import Notification


class StdoutSink:
    """A `Sink` that prints."""

    concurrency = 1

    def __init__(self, config: StdoutSinkConfig, context: SinkContext) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self.name = config.name
        own = config.templates
        title, text = (own.title, own.text) if own else (None, None)
        self._templates = Templates(title, text, str)
        self._reading = context.reading
        self._as_text = config.format == "text" or (config.format == "auto" and sys.stdout.isatty())

    async def open(self) -> None:
        """Nothing to prepare."""

    async def send(self, notification: Notification) -> Answer:
        """Print the alert.

        Raises:
            SinkError: nobody reads standard output any more.
        """
        alert = notification.alert
        if self._as_text:
            text = self._text(notification) + "\n"
        else:
            text = alert_json(alert, notification.kind).decode()
        try:
            print(text, flush=True)  # noqa: T201
        except OSError as error:
            raise SinkError(
                f"sink {self.name}: standard output cannot be written: {error.strerror}"
            ) from error
        return Delivered()

    async def close(self) -> None:
        """Nothing to let go of."""

    def _text(self, notification: Notification) -> str:
        alert = notification.alert
        story = tell(alert, notification.kind, self._reading)
        heading = self._templates.title(alert, story) or story.headline
        return f"{heading}\n{self._templates.text(alert, story) or story_lines(story)}"
