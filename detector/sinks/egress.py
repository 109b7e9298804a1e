"""Which addresses sinks over HTTP may reach: public ones, and those that the operator allows.

An address of a sink is written by the operator, but the name in it is resolved anew for each
connection, by servers that others may control. What it resolves to is looked at where a connection
is made, so that no later answer can lead to a metadata service or into the private network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_GLOBAL_YET = tuple(
    map(
        ipaddress.ip_network,
        (
            "::/96",  # IPv4 within IPv6, as was once written
            "64:ff9b::/96",  # NAT64: stands for an IPv4 address, whatever that is
            "64:ff9b:1::/48",
            "2002::/16",  # 6to4, in the same way
            "fec0::/10",  # site-local, as was once private
        ),
    )
)
"""Networks that lead somewhere else, or that Python's `is_global` takes for public ones."""


class Egress:
    """The rule: `allow` are networks beside what is public."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allow = tuple(map(ipaddress.ip_network, allow))

    def permits(self, host: str) -> bool:
        """Return whether an IP address may be reached; what is none may not.

        An IPv4 address within an IPv6 one is looked at as what it stands for.
        """
        try:
            address: IPAddress = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._allow):
            return True
        return (
            address.is_global
            and not address.is_multicast
            and not any(address in network for network in _NOT_GLOBAL_YET)
        )


def is_address(host: str) -> bool:
    """Return whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
