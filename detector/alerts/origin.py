"""From where: addresses, services, VPC endpoints, and the client.

Source: AWS CloudTrail User Guide, "CloudTrail record contents" (sourceIPAddress, userAgent,
vpcEndpointId, sessionCredentialFromConsole).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detector.alerts.alert import Alert
from detector.alerts.fields import text_at, value_at
from detector.alerts.plain import listed, plain

MAX_LISTED = 5
_MAX_ADDRESS = 64
_MAX_CLIENT = 100
_MAX_CLIENTS = 2


def origin_of(alert: Alert) -> str:
    """Return the addresses of all events, and the clients of those in the evidence."""
    addresses = [_address(name) for name in alert.source_ips]
    clients = list(dict.fromkeys(c for record in alert.evidence for c in clients_of(record)))
    told = [
        listed(addresses, MAX_LISTED, are_all="source_ips" not in alert.truncated),
        listed(clients, _MAX_CLIENTS),
    ]
    return "; ".join(filter(None, told))


def clients_of(record: Mapping[str, Any]) -> Iterator[str]:
    """Return what made a request: the client's own word for itself, and the way it took."""
    agent = plain(text_at(record, "userAgent"), _MAX_CLIENT)
    # A service that acts for somebody gives its name as the address and as the client.
    if agent and agent != plain(text_at(record, "sourceIPAddress"), _MAX_CLIENT):
        console = str(value_at(record, "sessionCredentialFromConsole")).lower() == "true"
        yield f"{agent} (in the console)" if console else agent
    endpoint = plain(text_at(record, "vpcEndpointId"), _MAX_ADDRESS)
    if endpoint:
        owner = plain(text_at(record, "vpcEndpointAccountId"), _MAX_ADDRESS)
        yield f"VPC endpoint {endpoint}" + (f" of account {owner}" if owner else "")


def _address(name: str) -> str:
    shown = plain(name, _MAX_ADDRESS)
    return f"the service {shown}" if shown.endswith(".amazonaws.com") else shown
