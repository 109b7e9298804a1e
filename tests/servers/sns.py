"""SNS where emulators are too kind: what it refuses, by its published rules, in its own words.

Source: Amazon SNS API Reference, "Publish"; Developer Guide, "Amazon SNS message attributes".
"""

from __future__ import annotations

import re
import ssl
from urllib.parse import parse_qs

from tests.servers.checking import Answer, CheckingServer, Fault, Received, RefusedError

MAX_BYTES = 262_144
_ID = re.compile(r"[a-zA-Z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")


class SNSServer(CheckingServer):
    """A topic, to which messages are published. With `ascii_subjects` it is as strict as of old."""

    def __init__(
        self, *faults: Fault, ascii_subjects: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(*faults, tls=tls)
        self._ascii_subjects = ascii_subjects

    def check(self, request: Received) -> Answer:
        fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if fields.get("Action") != "Publish":
            raise _refused("InvalidAction", "not Publish")
        if "Subject" in fields:
            check_subject(fields["Subject"], ascii_only=self._ascii_subjects)
        _check_message(fields)
        if fields["TopicArn"].endswith(".fifo"):
            for name in ("MessageGroupId", "MessageDeduplicationId"):
                if not _ID.fullmatch(fields.get(name, "")):
                    raise _refused("InvalidParameter", f"Invalid parameter: {name}")
        return Answer(
            200,
            "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult>"
            "</PublishResponse>",
        )


def check_subject(subject: str, *, ascii_only: bool = False) -> None:
    """Refuse a subject that is none."""
    units = len(subject.encode("utf-16-le")) // 2
    is_plain = not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", subject)
    begins = bool(re.match(r"[^\W_]|[!-/:-@\[-`{-~]", subject)) or not subject[:1].isascii()
    if not 0 < units < 100 or not is_plain or not begins:
        raise _refused("InvalidParameter", "Invalid parameter: Subject")
    if ascii_only and not subject.isascii():
        raise _refused("InvalidParameter", "Invalid parameter: Subject")


def error_answer(status: int, code: str, message: str = "no") -> Answer:
    """Return what SNS answers to what it does not take."""
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
    return Answer(status, body, {"Content-Type": "text/xml"})


def _refused(code: str, message: str) -> RefusedError:
    return RefusedError(error_answer(400, code, message))


def _check_message(fields: dict[str, str]) -> None:
    size, number = len(fields.get("Message", "").encode()), 0
    if not size:
        raise _refused("InvalidParameter", "Invalid parameter: Empty message")
    while (name := fields.get(f"MessageAttributes.entry.{number + 1}.Name")) is not None:
        number += 1
        start = f"MessageAttributes.entry.{number}.Value."
        value, kind = fields.get(f"{start}StringValue"), fields[f"{start}DataType"]
        if not value or not _NAME.fullmatch(name):
            raise _refused("ParameterValueInvalid", f"The message attribute '{name}'")
        size += len(name.encode()) + len(value.encode()) + len(kind.encode())
    if number > 10:  # a queue with raw delivery would not get it
        raise _refused("InvalidParameter", "Invalid parameter: more than 10 attributes")
    if size > MAX_BYTES:
        raise _refused("InvalidParameter", "Invalid parameter: Message too long")
