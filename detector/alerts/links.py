"""Where to go from an alert: CloudTrail's console, and the reader's own SIEM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from detector.alerts.alert import Alert
from detector.alerts.resources import partition_of

MAX_LINK_CHARACTERS = 2_000
"""A longer address is not told: no browser, chat or pager is sure to take it."""

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")

_CONSOLES: Mapping[str, str] = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}
"""The consoles that are on the internet; those of the isolated partitions are not public.

Sources: the user guides of AWS in China, GovCloud (US) and the European Sovereign Cloud."""


def event_link(region: str, event_id: str) -> str:
    """Return the address of an event in CloudTrail's console; nothing if there is none.

    Nothing is escaped: what could not stand in an address as it is is no region and no event id.
    """
    console = _CONSOLES.get(partition_of(region))
    if console is None or not _REGION.fullmatch(region) or not _EVENT_ID.fullmatch(event_id):
        return ""
    return f"https://{region}.{console}/cloudtrailv2/home?region={region}#/events/{event_id}"


def siem_link(template: str | None, alert: Alert, event_id: str, account: str, region: str) -> str:
    """Return the address that the reader's template makes; nothing if it cannot be made.

    The template names values of `detector.config.LINK_FIELDS` in braces. Each is quoted whole, so
    that none can add a path, a parameter or a fragment.
    """
    if not template:
        return ""
    values = {
        "alert_id": alert.id,
        "rule_id": alert.rule_id,
        "event_id": event_id,
        "account": account,
        "region": region,
        "start": alert.window.start,
        "end": alert.window.end,
    }
    quoted = {name: quote(value, safe="", errors="replace") for name, value in values.items()}
    try:
        link = template.format(**quoted)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        return ""  # a template that reaches into a value, for one that is too short
    return link if len(link) <= MAX_LINK_CHARACTERS else ""
