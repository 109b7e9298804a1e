"""What a change of a network opened or closed, and to whom: security groups, ACLs, routes.

Source: Amazon EC2 API Reference, as CloudTrail logs its requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detector.alerts.fields import EMPTY, field_of, items_of, mapping_at, scalar
from detector.alerts.plain import listed, plain

MAX_PERMISSIONS = 4
"""Told of one request; the others are in the evidence."""

_MAX = 64
_MAX_PEERS = 5
_ANYWHERE = {"0.0.0.0/0", "::/0"}
_PROTOCOLS = {"-1": "all traffic", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}


def network_in_words(event: str, parameters: Mapping[str, Any]) -> list[str]:
    """Return what a request opens or closes; nothing for one that is of something else."""
    if "SecurityGroup" in event:
        direction = "to" if "Egress" in event else "from"
        said = [_permission(item, direction) for item in _permissions(parameters)]
        said = list(dict.fromkeys(filter(None, said)))
        more = len(said) - MAX_PERMISSIONS
        return said[:MAX_PERMISSIONS] + ([f"{more} more"] if more > 0 else [])
    if "NetworkAclEntry" in event:
        return [_acl_entry(parameters)]
    if "Route" in event:
        return [said for said in [_route(parameters)] if said]
    return []


def _permissions(parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return permissions: of a list, of a modified rule, or of a request of the old form."""
    items = [
        *items_of(field_of(parameters, "ipPermissions")),
        *items_of(field_of(parameters, "securityGroupRule")),
    ]
    if not items:
        items = [parameters]
    for item in items:
        if isinstance(item, Mapping):
            inner = mapping_at(item, "SecurityGroupRule")
            yield inner or item


def _permission(item: Mapping[str, Any], direction: str) -> str:
    protocol = _scalar(item, "ipProtocol")
    peers = [peer for peer in _peers(item) if peer]
    if not protocol and not peers:
        return ""
    ports = _ports(_scalar(item, "fromPort"), _scalar(item, "toPort"))
    what = _PROTOCOLS.get(protocol, protocol)
    if protocol != "-1" and ports:
        what = f"{what} {ports}"
    whom = listed(_worst_first(peers), _MAX_PEERS)
    return " ".join(filter(None, [what, f"{direction} {whom}" if whom else ""]))


def _peers(item: Mapping[str, Any]) -> Iterator[str]:
    for names in (
        ("ipRanges", "cidrIp"),
        ("ipv6Ranges", "cidrIpv6"),
        ("groups", "groupId"),
        ("prefixListIds", "prefixListId"),
    ):
        for entry in items_of(field_of(item, names[0])):
            yield _scalar(entry, names[1]) if isinstance(entry, Mapping) else ""
    for name in ("cidrIp", "cidrIpv6", "cidrIpv4", "prefixListId", "referencedGroupId"):
        yield _scalar(item, name)
    yield _scalar(item, "sourceSecurityGroupName")


def _worst_first(peers: list[str]) -> list[str]:
    return sorted(dict.fromkeys(peers), key=lambda peer: peer not in _ANYWHERE)


def _ports(first: str, last: str) -> str:
    if not first or first == "-1":
        return ""
    if (first, last) == ("0", "65535"):
        return "all ports"
    return first if last in {"", first} else f"{first}-{last}"


def _acl_entry(parameters: Mapping[str, Any]) -> str:
    direction = "egress" if field_of(parameters, "egress") is True else "ingress"
    number = _scalar(parameters, "ruleNumber")
    action = _scalar(parameters, "ruleAction")
    protocol = _scalar(parameters, "aclProtocol") or _scalar(parameters, "protocol")
    cidr = _scalar(parameters, "cidrBlock") or _scalar(parameters, "ipv6CidrBlock")
    ranges = field_of(parameters, "portRange")
    ports = mapping_at({"range": ranges}, "range") or EMPTY
    words = [
        f"{direction} rule {number}".rstrip() + (":" if action or cidr else ""),
        action,
        _PROTOCOLS.get(protocol, protocol),
        _ports(_scalar(ports, "from"), _scalar(ports, "to")) if protocol != "-1" else "",
        f"{'to' if direction == 'egress' else 'from'} {cidr}" if cidr else "",
    ]
    return " ".join(filter(None, words))


def _route(parameters: Mapping[str, Any]) -> str:
    destinations = ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
    destination = next(filter(None, (_scalar(parameters, name) for name in destinations)), "")
    targets = (
        "gatewayId",
        "natGatewayId",
        "transitGatewayId",
        "transitGatewayAttachmentId",
        "vpcPeeringConnectionId",
        "networkInterfaceId",
        "instanceId",
        "egressOnlyInternetGatewayId",
        "vpcEndpointId",
        "localGatewayId",
        "carrierGatewayId",
    )
    target = next(filter(None, (_scalar(parameters, name) for name in targets)), "")
    if not destination:
        return ""
    return f"{destination} to {target}" if target else destination


def _scalar(item: Mapping[str, Any], name: str) -> str:
    return plain(scalar(field_of(item, name)), _MAX)
