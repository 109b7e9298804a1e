"""Texts of a sink's own, in place of those that it would show.

Templates are the operator's, and are sandboxed all the same: they see the alert and its story as
plain values, call nothing but Jinja's own filters, and load no others. What they show is escaped
for the destination wherever it stands, as names in it were chosen by whoever called AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from detector.alerts.alert import Alert
from detector.alerts.story import Story
from detector.alerts.text import clean
from detector.errors import ConfigError

MAX_TEXT_CHARACTERS = 20_000
"""Of what a template makes: more than any chat shows, and little to hold in memory."""

Escape = Callable[[str], str]
"""From plain text to what shows it at a destination."""


class Templates:
    """The templates of one sink. Where it has none, nothing is made."""

    def __init__(self, title: str | None, text: str | None, escape: Escape) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            finalize=lambda value: escape(clean_lines(_text(value))),
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._title = self._read("title", title)
        self._text = self._read("text", text)

    def title(self, alert: Alert, story: Story) -> str | None:
        """Return the heading, on one line; None where the sink's own is to be shown.

        Raises:
            ConfigError: the template cannot make one.
        """
        made = self._make("title", self._title, alert, story)
        return None if made is None else " ".join(made.split())

    def text(self, alert: Alert, story: Story) -> str | None:
        """Return the text below it; None where the sink's own is to be shown.

        Raises:
            ConfigError: the template cannot make one.
        """
        return self._make("text", self._text, alert, story)

    def _read(self, name: str, source: str | None) -> Template | None:
        if source is None:
            return None
        try:
            return self._environment.from_string(source)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            at = f", line {line}" if line else ""
            raise ConfigError(f"the template {name} cannot be read{at}: {error}") from error

    def _make(self, name: str, template: Template | None, alert: Alert, story: Story) -> str | None:
        if template is None:
            return None
        values = {
            "alert": msgspec.to_builtins(alert),
            "kind": story.kind,
            "story": {
                "headline": story.headline,
                "summary": story.summary,
                "rows": dict(story.rows),
                "runbook": story.runbook,
                "links": [{"text": link.text, "href": link.href} for link in story.links],
            },
        }
        try:
            made = template.render(values)
        except Exception as error:
            # A template can divide by zero and worse.
            raise ConfigError(
                f"the template {name} cannot be filled in: {error or type(error).__name__}",
                remedy="what it may use is listed in docs/sinks.md",
            ) from error
        return made[:MAX_TEXT_CHARACTERS]


def clean_lines(text: str) -> str:
    """Return a text without control characters, but with its lines."""
    return "\n".join(map(clean, text.split("\n")))


def _text(value: Any) -> str:
    """Return a value as a template shows it: lists and mappings as JSON, nothing for None."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (Mapping, Sequence)):
        return msgspec.json.encode(value).decode()
    return str(value)
