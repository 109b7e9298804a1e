"""What is published on an alert: body, subject, attributes, and what a FIFO topic wants."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from detector.alerts.alert import Alert
from detector.alerts.formats import body_of
from detector.alerts.incident import moment
from detector.alerts.story import tell
from detector.alerts.story_text import cut_bytes, story_text
from detector.alerts.templates import Templates
from detector.config import SNSSinkConfig
from detector.sinks.sink import SinkContext, message_id
from detector.sinks.sns.alarm import AlarmSettings, alarm_message, alarm_subject
from detector.sinks.sns.attributes import attributes_of, size_of
from detector.sinks.sns.subject import subject
from detector.state.store import Notification

if TYPE_CHECKING:
    from types_aiobotocore_sns.type_defs import PublishInputTypeDef

MAX_MESSAGE_BYTES = 262_144
"""Of the body and the attributes together, on a topic whose MaximumMessageSize nobody has raised.

Source: Amazon SNS API Reference, "Publish"."""

_RULE_CHARACTERS = 80
"""Of a rule's id in a message group's, which has 128 at most, with the group's digest in it."""

_NOT_IN_SQS = ("\ufffe", "\uffff")
"""No message of a queue may hold these. Source: Amazon SQS API Reference, "SendMessage"."""


class Messages:
    """Makes the messages of one sink."""

    def __init__(self, config: SNSSinkConfig, context: SinkContext) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self._config = config
        self._reading = context.reading
        templates = config.templates
        title, text = (templates.title, templates.text) if templates else (None, None)
        self._templates = Templates(title, text, lambda shown: shown)
        self._alarm = AlarmSettings.of(config, datetime.fromtimestamp(context.now(), UTC))

    def request(self, notification: Notification) -> PublishInputTypeDef | None:
        """Return what to publish; None where this format has nothing to say.

        CloudWatch tells changes of state alone, and an update is none.
        """
        if self._config.format == "cloudwatch-alarm" and notification.kind == "updated":
            return None
        attributes = attributes_of(notification.alert, notification.kind)
        told, body = self._told(notification, MAX_MESSAGE_BYTES - size_of(attributes))
        topic = self._config.topic_arn
        request: PublishInputTypeDef = {
            "TopicArn": topic,
            "Subject": subject(told),
            "Message": body,
            "MessageAttributes": attributes,
        }
        if topic.endswith(".fifo"):
            repeated = message_id(notification).encode()
            request["MessageGroupId"] = message_group(notification.alert)
            request["MessageDeduplicationId"] = hashlib.sha256(repeated).hexdigest()
        return request

    def _told(self, notification: Notification, room: int) -> tuple[str, str]:
        """Return heading and body, which is of so many bytes at most."""
        alert, kind = notification.alert, notification.kind
        if self._config.format == "cloudwatch-alarm":
            made_at = notification.made_at
            changed = (
                datetime.fromtimestamp(made_at, UTC) if made_at else moment(alert.last_event_time)
            )
            body = alarm_message(alert, kind, self._alarm, changed)
            return alarm_subject(alert, kind, self._alarm), _escaped(body.decode())
        heading, text = self._texts(notification)
        if self._config.format == "text":
            return heading, cut_bytes(_blanked(text), room)
        content = body_of(self._config.format, notification, room).content
        return heading, _escaped(content.decode())

    def _texts(self, notification: Notification) -> tuple[str, str]:
        """Return heading and text for people."""
        story = tell(notification.alert, notification.kind, self._reading)
        heading, text = story.headline, f"{story.headline}\n\n{story_text(story)}\n"
        own_heading = self._templates.title(notification.alert, story)
        own_text = self._templates.text(notification.alert, story)
        return own_heading or heading, own_text or text


def message_group(alert: Alert) -> str:
    """Return the message group of an alert on a FIFO topic: its rule's and group's.

    Within it messages come in order, and a page does not wait for another rule's.
    """
    group = msgspec.json.encode([alert.rule_id, sorted(alert.group.items())])
    return f"{alert.rule_id[:_RULE_CHARACTERS]}.{hashlib.sha256(group).hexdigest()[:32]}"


def _escaped(document: str) -> str:
    """Return a JSON document in which nothing is but what a queue takes, too."""
    for character in _NOT_IN_SQS:
        document = document.replace(character, f"\\u{ord(character):04x}")
    return document


def _blanked(text: str) -> str:
    for character in _NOT_IN_SQS:
        text = text.replace(character, " ")
    return text
