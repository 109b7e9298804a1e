"""What messages to people have in common, whichever chat shows them.

A chat cannot take a message back or change it: each says which incident it belongs to, and whether
it is news, more of the same, or the end of it, in words and in a sign that is seen first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from detector.alerts.alert import Alert
from detector.alerts.story import MAX_ROWS, Link, Reading, Row, Story, tell
from detector.alerts.templates import Escape, Templates
from detector.alerts.text import NotificationKind, clean
from detector.config import TemplatesConfig
from detector.errors import ConfigError
from detector.rules.rule import Level
from detector.sinks.cutting import as_is
from detector.sinks.http import MAX_SHOWN, Response
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, message_id
from detector.state.store import Notification

MAX_LINKS = 6
"""Links below a message: Teams shows as many buttons, and hides the others behind a menu.

Source: Microsoft Teams, "Cards reference", Adaptive Cards: at most six actions in a row.
"""

MAX_HREF = 2_000
"""Characters of a link; one that is longer is left out, as half of it leads nowhere."""

MAX_NOTE = 300
"""Characters of a note below a message."""

HIDDEN = "[hidden]"
"""Stands where a secret was in what a service answered."""

_SIGNS: dict[Level, str] = {
    "critical": "🔴",
    "high": "🟠",
    "medium": "🟡",
    "low": "🔵",
    "informational": "⚪",
}
_UPDATED = "🔄"
_RESOLVED = "✅"


@dataclass(frozen=True, slots=True)
class Telling:
    """A message before it is written for a chat.

    All is plain text but `markup`, which a template made and which is escaped already; it stands in
    place of the summary, the rows and the runbook. `news` says what to do with the incident,
    `notes` identify the message.
    """

    level: Level
    kind: NotificationKind
    heading: str
    news: str
    summary: str
    rows: tuple[Row, ...]
    runbook: str
    links: tuple[Link, ...]
    notes: tuple[str, ...]
    markup: str | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """What a sink's templates make of an alert; `faults` are of those that made nothing of it."""

    title: str | None
    text: str | None
    faults: tuple[str, ...]


class Wording:
    """The templates of one sink; an alert is worth more than its form, so that none fails."""

    def __init__(self, config: TemplatesConfig | None, escape: Escape = as_is) -> None:
        """Read the templates; `escape` is for what they show in the text.

        Raises:
            ConfigError: one of them is no template.
        """
        # A heading is escaped as a whole, as no service formats it.
        self._titles = Templates(config.title if config else None, None, as_is)
        self._texts = Templates(None, config.text if config else None, escape)

    def words(self, alert: Alert, story: Story) -> Words:
        """Return the texts in place of the sink's own."""
        made: list[str | None] = []
        faults = []
        for make in (self._titles.strict_title, self._texts.strict_text):
            try:
                made.append(make(alert, story) or None)
            except ConfigError as error:
                made.append(None)
                faults.append(error.message)
        title, text = made
        return Words(title, text, tuple(faults))


class Teller:
    """Tells notifications as one sink is told to: by its templates, and in the reading of all."""

    def __init__(
        self, config: TemplatesConfig | None, reading: Reading, escape: Escape = as_is
    ) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self._wording = Wording(config, escape)
        self._reading = reading

    def tell(self, notification: Notification) -> Telling:
        """Return what is to be shown."""
        story = tell(notification.alert, notification.kind, self._reading)
        words = self._wording.words(notification.alert, story)
        told = telling(notification, story, words.title)
        return replace(told, markup=words.text, notes=(*told.notes, *words.faults))


def telling(notification: Notification, story: Story, title: str | None = None) -> Telling:
    """Return the message that tells a story; `title` stands in place of its headline."""
    alert = notification.alert
    identities = [f"alert {alert.id}", f"message {message_id(notification)}"]
    if alert.dedup_key not in {"", alert.id}:
        identities.insert(1, f"incident {alert.dedup_key}")
    return Telling(
        level=story.level,
        kind=notification.kind,
        heading=f"{_sign(alert, notification.kind)} {title or story.headline}",
        news=_news(alert, notification.kind),
        summary=story.summary.strip(),
        rows=tuple(
            row
            for row in story.rows
            if row.value.strip() and row.value not in {story.summary, story.alert_id}
        ),
        runbook="" if notification.kind == "resolved" else story.runbook.strip(),
        links=safe_links(story.links)[:MAX_LINKS],
        notes=(" · ".join(identities),),
    )


def safe_links(links: Sequence[Link]) -> tuple[Link, ...]:
    """Return the links that lead to the web and nowhere else; none is longer than `MAX_HREF`."""
    return tuple(link for link in links if _is_safe(link.href))


def shown(telling: Telling, rows: int, characters: int) -> Telling:
    """Return the message with its first rows alone, its texts cut.

    What is left out is said.
    """
    left_out = len(telling.rows) - rows
    more = (f"{left_out} more rows are not shown",) if left_out > 0 else ()
    return replace(
        telling,
        summary=_shortened(telling.summary, characters),
        rows=tuple(
            Row(row.label, _shortened(row.value, characters)) for row in telling.rows[:rows]
        ),
        runbook=_shortened(telling.runbook, 3 * characters),
        notes=tuple(_shortened(note, MAX_NOTE) for note in (*telling.notes, *more)),
    )


SIZES = ((MAX_ROWS, 1_000), (MAX_ROWS, 500), (MAX_ROWS, 250), (MAX_ROWS, 100), (10, 60), (5, 40))
"""How many rows a message is tried with, and with how many characters of each, until it fits."""


def without_secrets(answer: Answer, *secrets: str) -> Answer:
    """Return an answer whose reason does not repeat a secret that the service said again."""
    if isinstance(answer, Delivered):
        return answer
    why = answer.why
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        why = why.replace(secret, HIDDEN)
    return replace(answer, why=why)


def secrets_of(url: str) -> tuple[str, ...]:
    """Return what must not be shown of an address that is a credential, whole and in parts."""
    parts = urlsplit(url)
    pieces = [url, f"{parts.path}?{parts.query}", parts.path, parts.query]
    pieces += [piece for piece in parts.path.split("/") if len(piece) >= _MIN_SECRET]
    for pair in parts.query.split("&"):
        value = pair.partition("=")[2]
        if len(value) >= _MIN_SECRET:
            pieces.append(value)
    return tuple(piece for piece in pieces if len(piece) >= _MIN_SECRET)


def unexpected(response: Response, expected: str) -> Retry:
    """Return what to do with an answer that says success in other words than the service's.

    It may be a proxy's or a gateway's; nobody has the message then.
    """
    said = f": {response.text}" if response.text else ""
    return Retry(f"{response.host} answered {response.status}, not {expected}{said}")


def refused(response: Response, answer: Answer, said: str) -> Answer:
    """Return an answer with the service's own words as its reason, where there are any."""
    if isinstance(answer, Delivered) or not said:
        return answer
    why = f"{response.host} answered {response.status}: {clean(said)[:MAX_SHOWN].strip()}"
    return Retry(why, answer.after) if isinstance(answer, Retry) else Permanent(why)


def field(body: Any, *path: str) -> str:
    """Return a text within a JSON answer, empty where there is none."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""


_MIN_SECRET = 6
"""Shorter parts of an address, such as `/v2`, are everywhere, and no secret."""

_NOT_IN_LINKS = frozenset(' <>|"\\^`')
"""Signs that no link has unless it is percent-encoded, and that end it in some markup."""


def _is_safe(href: str) -> bool:
    try:
        parts = urlsplit(href)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
    is_plain = href.isascii() and href.isprintable() and not set(href) & _NOT_IN_LINKS
    return is_web and is_plain and len(href) <= MAX_HREF


def _sign(alert: Alert, kind: NotificationKind) -> str:
    if kind == "resolved":
        return _RESOLVED
    return _UPDATED if kind == "updated" else _SIGNS[alert.level]


def _news(alert: Alert, kind: NotificationKind) -> str:
    incident = _shortened(alert.dedup_key or alert.id, MAX_NOTE)
    if kind == "updated":
        return f"More of incident {incident}, which was told before."
    if kind == "resolved" and alert.state == "withdrawn":
        return f"Incident {incident} is withdrawn: later events have undone it."
    if kind == "resolved":
        return f"Incident {incident} is over."
    return ""


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
