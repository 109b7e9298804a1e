"""What subscriptions to a topic can filter by.

Source: Amazon SNS Developer Guide, "Amazon SNS message attributes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from detector.alerts.alert import Alert
from detector.alerts.incident import incident_of
from detector.alerts.plain import plain
from detector.alerts.text import NotificationKind

if TYPE_CHECKING:
    from types_aiobotocore_sns.type_defs import MessageAttributeValueTypeDef

MAX_ATTRIBUTES = 10
"""With more of them SNS does not deliver to a queue that wants messages as they are."""

MAX_ITEMS = 50
"""Of a list: it is to filter by, and the body has all. Each counts towards the message's size."""

MAX_CHARACTERS = 256
"""Of a value; ids, accounts, regions and tags are shorter."""


def attributes_of(
    alert: Alert, kind: NotificationKind
) -> Mapping[str, MessageAttributeValueTypeDef]:
    """Return the attributes of a message on an alert; what is empty is left out."""
    values = {
        "alert_id": alert.id,
        "incident": incident_of(alert),
        "rule_id": alert.rule_id,
        "level": alert.level,
        "kind": kind,
        "status": alert.status,
        "test": "true" if alert.test else "",
    }
    attributes = {name: _string(value) for name, value in values.items() if value.strip()}
    for name, items in (
        ("accounts", alert.accounts),
        ("regions", alert.regions),
        ("tags", alert.tags),
    ):
        if items:
            attributes[name] = _strings(items)
    return attributes


def size_of(attributes: Mapping[str, MessageAttributeValueTypeDef]) -> int:
    """Return how many bytes of a message's size are its attributes': names, types and values."""
    return sum(
        len(part.encode())
        for name, item in attributes.items()
        for part in (name, item["DataType"], item.get("StringValue", ""))
    )


def _string(value: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": plain(value, MAX_CHARACTERS)}


def _strings(items: Iterable[str]) -> MessageAttributeValueTypeDef:
    shown = [plain(item, MAX_CHARACTERS) for item in list(items)[:MAX_ITEMS]]
    return {"DataType": "String.Array", "StringValue": msgspec.json.encode(shown).decode()}
