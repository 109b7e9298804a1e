"""Texts of a sink's own, in place of those that it would show.

Templates are the operator's, and are sandboxed all the same, see `template_sandbox`: they see the
alert and its story as plain values. What they show is escaped for the destination wherever it
stands, as names in it were chosen by whoever called AWS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from jinja2 import Template, TemplateError

from detector.alerts.alert import Alert
from detector.alerts.plain import clean
from detector.alerts.story import TEST_MARK, Story
from detector.alerts.template_sandbox import Fields, Sandbox, UnknownNameError
from detector.errors import ConfigError

MAX_TEXT_CHARACTERS = 20_000
"""Of what a template makes: more than any chat shows, and little to hold in memory."""

NAMES = ("alert", "kind", "story")
"""The values that a template has."""

ROW_LABELS = (
    *("what", "who", "result", "where", "from", "group", "when", "count", "window", "episode"),
    *("why", "silence", "seen", "rule", "rules", "alerts", "alert"),
)
"""Rows of stories. None has all of them, and one that it does not have is an empty text; a digest
has `rule 1` and so on besides."""

Escape = Callable[[str], str]
"""From plain text to what shows it at a destination."""

log = structlog.get_logger()


class Templates:
    """The templates of one sink. Where it has none, nothing is made."""

    def __init__(self, title: str | None, text: str | None, escape: Escape) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self._sandbox = Sandbox(lambda value: escape(clean_lines(_text(value))))
        self._title = self._read("title", title)
        self._text = self._read("text", text)
        self._failed: set[str] = set()

    def title(self, alert: Alert, story: Story) -> str | None:
        """Return the heading, on one line; None where the sink's own is to be shown."""
        return self._unless_it_fails("title", self.strict_title, alert, story)

    def text(self, alert: Alert, story: Story) -> str | None:
        """Return the text below it; None where the sink's own is to be shown."""
        return self._unless_it_fails("text", self.strict_text, alert, story)

    def strict_title(self, alert: Alert, story: Story) -> str | None:
        """Return the heading as `title` does; that of a test says so, whatever the template says.

        Raises:
            ConfigError: the template cannot be filled in.
        """
        made = self._make("title", self._title, alert, story)
        if made is None:
            return None
        heading = " ".join(made.split())
        return f"{TEST_MARK} {heading}" if alert.test and TEST_MARK not in heading else heading

    def strict_text(self, alert: Alert, story: Story) -> str | None:
        """Return the text as `text` does.

        Raises:
            ConfigError: the template cannot be filled in.
        """
        return self._make("text", self._text, alert, story)

    def _read(self, name: str, source: str | None) -> Template | None:
        if source is None:
            return None
        try:
            return self._sandbox.read(source, NAMES)
        except UnknownNameError as error:
            raise ConfigError(
                f"the template {name} cannot be used: {error}", remedy=error.remedy
            ) from error
        except (TemplateError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            at = f" in its line {line}" if line else ""
            said = clean(getattr(error, "message", None) or type(error).__name__).rstrip(".")
            raise ConfigError(f"the template {name} cannot be read{at}: {said}") from error

    def _unless_it_fails(
        self, name: str, make: Callable[[Alert, Story], str | None], alert: Alert, story: Story
    ) -> str | None:
        """Return what a template makes; None where it fails: an alert is worth more than that."""
        try:
            return make(alert, story)
        except ConfigError as error:
            if name not in self._failed:
                self._failed.add(name)
                log.warning(
                    "template not used, the sink's own text is shown",
                    template=name,
                    alert=alert.id,
                    why=clean(str(error)),
                )
            return None

    def _make(self, name: str, template: Template | None, alert: Alert, story: Story) -> str | None:
        if template is None:
            return None
        try:
            return self._sandbox.fill(template, values_of(alert, story), MAX_TEXT_CHARACTERS)
        except UnknownNameError as error:
            raise ConfigError(
                f"the template {name} cannot be filled in: {error}", remedy=error.remedy
            ) from error
        except Exception as error:
            # A template can divide by zero and worse.
            said = clean(str(error) or type(error).__name__).rstrip(".")
            raise ConfigError(f"the template {name} cannot be filled in: {said}") from error


def values_of(alert: Alert, story: Story) -> dict[str, Any]:
    """Return the values that a template has. Those of fixed shape are `Fields`."""
    fields = Fields(msgspec.to_builtins(alert))
    for name in ("window", "episode", "suppressed", "digest"):
        if fields[name] is not None:
            fields[name] = Fields(fields[name])
    if fields["digest"] is not None:
        fields["digest"]["entries"] = [Fields(entry) for entry in fields["digest"]["entries"]]
    return {
        "alert": fields,
        "kind": story.kind,
        "story": Fields(
            headline=story.headline,
            title=story.title,
            summary=story.summary,
            rows=_Rows(story.rows),
            runbook=story.runbook,
            links=[Fields(text=link.text, href=link.href) for link in story.links],
        ),
    }


class _Rows(Fields):
    """The rows of a story by their labels."""

    @property
    def names(self) -> Iterable[str]:
        return {*ROW_LABELS, *self}

    def __missing__(self, label: str) -> str:
        if label not in ROW_LABELS and not label.startswith("rule "):
            raise KeyError(label)
        return ""


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
        # Not by msgspec, which refuses half a surrogate pair.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return str(value)
