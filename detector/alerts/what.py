"""What was done, in words: `PutUserPolicy on user bob (policy p: allows * on *)`.

What a request is about is looked for first among the resources that its record names. Then comes
what decides how bad it is: what a policy allows, what a network lets in, when a key is deleted. Of
requests that nothing is known of the plain parameters are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from detector.alerts.fields import (
    field_of,
    items_of,
    mapping_at,
    parameters_of,
    scalar,
    text_at,
    value_at,
)
from detector.alerts.network import network_in_words
from detector.alerts.outcome import Outcome, outcome_of
from detector.alerts.plain import cut, listed, plain
from detector.alerts.policies import policy_in_words
from detector.alerts.resources import Resource, by_arn, resources_of, service_of
from detector.alerts.who import person_of

MAX_CHANGE_CHARACTERS = 400
"""Of one event: two lines of a terminal, or four of a chat."""

_MAX_NAME = 80
_MAX_TARGETS = 3
_MAX_DETAILS = 5
_MAX_DETAIL = 160
_MAX_TAGS = 5
_DEPTH = 3

_WORDS: Mapping[str, str] = {
    "AWS::EC2::SecurityGroup": "security group",
    "AWS::EC2::NetworkAcl": "network ACL",
    "AWS::EC2::RouteTable": "route table",
    "AWS::EC2::InternetGateway": "internet gateway",
    "AWS::EC2::NatGateway": "NAT gateway",
    "AWS::EC2::VPNGateway": "VPN gateway",
    "AWS::EC2::VPC": "VPC",
    "AWS::EC2::VPCEndpoint": "VPC endpoint",
    "AWS::EC2::VPCPeeringConnection": "VPC peering connection",
    "AWS::EC2::EIP": "elastic IP",
    "AWS::IAM::VirtualMFADevice": "MFA device",
    "AWS::IAM::SAMLProvider": "SAML provider",
    "AWS::IAM::OIDCProvider": "OIDC provider",
    "AWS::IAM::SSHPublicKey": "SSH public key",
    "AWS::SSO::Instance": "Identity Center",
    "AWS::IdentityStore::IdentityStore": "identity store",
    "AWS::IdentityStore::User": "Identity Center user",
    "AWS::IdentityStore::Group": "Identity Center group",
    "AWS::KMS::Key": "KMS key",
    "AWS::RDS::DBInstance": "database",
    "Other": "",
}
"""How a person calls a kind of resource, where its type does not say it."""

_PARTS = {"AWS::IAM::Policy", "AWS::IAM::AccessKey", "AWS::SSO::Instance"}
"""What is not the target of a change as long as something else is: a user's policy, and key."""

_BEHIND = {"AWS::EC2::Subnet", "AWS::EC2::VPC", "AWS::IdentityStore::IdentityStore"}
"""What something lies in: no target beside it."""

_DOCUMENTS: Mapping[str, str] = {
    "policyDocument": "",
    "assumeRolePolicyDocument": "trust",
    "bucketPolicy": "",
    "policy": "",
    "resourcePolicy": "",
    "inlinePolicy": "",
    "content": "",
    "permissionsPolicy": "",
}
"""Parameters that hold a policy."""

_NOISE = re.compile(
    r"host|.*token|tag.*|xmlns|dryrun|lifecycle|policy|acl|location|.*password|description"
    r"|logging|tagging|versioning|.*document|cors|publicaccessblock|ownershipcontrols"
    r"|maxresults|nexttoken|clientrequest.*|path|omitted|x-amz-.*",
    re.IGNORECASE,
)
"""Parameters that tell nobody anything, and those of S3 that repeat the name of the call."""

_ON_RESOURCE = re.compile(r"on resource: (.{1,2000}?)(?: because | with an |$)")

_WIDE = re.compile(
    r"policy AdministratorAccess|policy IAMFullAccess|allows (?:iam:)?\*[ ;)]|to everyone"
    r"|from (?:0\.0\.0\.0/0|::/0)"
)
_UNDOING = re.compile(r"Delete|Detach|Remove|Revoke|Disassociate|Get|List|Describe")

_HIDDEN = {"", "HIDDEN_DUE_TO_SECURITY_REASONS", "***"}


class Change(NamedTuple):
    """What one record tells: the event in words, without who and where, and how it ended."""

    event: str
    text: str
    outcome: Outcome

    @property
    def is_wide(self) -> bool:
        """Whether it gives everything to somebody, or something to everyone."""
        return bool(_WIDE.search(self.text)) and not _UNDOING.match(self.event)


def change_of(record: Mapping[str, Any]) -> Change:
    """Return what a record tells that was done."""
    event = plain(text_at(record, "eventName"), _MAX_NAME) or "an event without a name"
    named = resources_of(record)
    targets = _targets(event, named)
    details = [*_details(record, event, targets, named)]
    told = ", ".join(dict.fromkeys(cut(detail, _MAX_DETAIL) for detail in details if detail))
    text = event
    if targets:
        text += f" on {listed([in_words(target) for target in targets], _MAX_TARGETS)}"
    elif event == "ConsoleLogin":
        text += f" of {person_of(record).told()}"
    elif not named:
        text += _untargeted(record)
    text += f" ({told})" if told else ""
    return Change(event, cut(text, MAX_CHANGE_CHARACTERS), outcome_of(record))


def _untargeted(record: Mapping[str, Any]) -> str:
    """Return what a request is about that has no parameters: those of denied ones are not logged.

    The message has the resource then, else the service is told.
    """
    match = _ON_RESOURCE.search(text_at(record, "errorMessage"))
    if match is not None and not match[1].endswith("*"):
        arn = by_arn(match[1])
        return f" on {in_words(arn) if arn else plain(match[1], _MAX_NAME)}"
    service = plain(service_of(record), _MAX_NAME)
    return f" in {service}" if service else ""


def in_words(resource: Resource) -> str:
    """Return what a person calls a resource: `user bob`."""
    word = _WORDS.get(resource.type)
    if word is None:
        last = resource.type.rpartition("::")[2]
        word = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", last).lower()
        word = plain(word, _MAX_NAME)
    return f"{word} {plain(resource.name, _MAX_NAME)}".strip()


def _targets(event: str, named: tuple[Resource, ...]) -> list[Resource]:
    """Return what a request is about, without what only belongs to it."""
    known = [resource for resource in named if resource.type != "Other"]
    tables = [resource for resource in known if resource.type.endswith("RouteTable")]
    if "Route" in event and tables:
        return tables
    targets = [resource for resource in known if resource.type not in _PARTS | _BEHIND]
    return targets or known or list(named)


def _details(
    record: Mapping[str, Any],
    event: str,
    targets: list[Resource],
    named: tuple[Resource, ...],
) -> Iterator[str]:
    parameters = parameters_of(record)
    if event == "ConsoleLogin":
        yield from _sign_in(record)
        return
    for resource in named:
        if resource not in targets and resource.type in _PARTS | _BEHIND:
            yield in_words(resource)
    told = {value for resource in named for value in (resource.name, resource.arn)}
    documents = [*_documents(parameters)]
    if documents and service_of(record) == "iam" and "Policy" in event:
        name = plain(text_at(parameters, "policyName"), _MAX_NAME)
        if name and name not in told:
            documents[0] = f"policy {name}: {documents[0]}"
            told.add(name)
    elif text_at(parameters, "policyName") not in {"", *told}:
        told.add(text_at(parameters, "policyName"))
        yield f"policy {plain(text_at(parameters, 'policyName'), _MAX_NAME)}"
    yield from documents
    yield from _tags(event, parameters)
    changed = network_in_words(event, parameters) if service_of(record) == "ec2" else []
    yield from changed
    if event == "ScheduleKeyDeletion":
        yield from _deletion(record, parameters)
        return
    if not changed and not documents:
        yield from _plain_parameters(parameters, told)


def _sign_in(record: Mapping[str, Any]) -> Iterator[str]:
    mfa = person_of(record).mfa
    if mfa is not None:
        yield "MFA" if mfa else "no MFA"


def _documents(parameters: Mapping[str, Any]) -> Iterator[str]:
    for key, name in _DOCUMENTS.items():
        said = policy_in_words(field_of(parameters, key))
        if said:
            yield f"{name}: {said}" if name else said


def _tags(event: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Return the tags of a request that is about tags: permissions can go by them."""
    if not event.startswith(("Tag", "Untag")):
        return
    for item in [*items_of(field_of(parameters, "tags"))][:_MAX_TAGS]:
        key, value = scalar(value_at(item, "key")), scalar(value_at(item, "value"))
        yield plain(f"tag {key}={value}", _MAX_NAME)
    for item in [*items_of(field_of(parameters, "tagKeys"))][:_MAX_TAGS]:
        yield plain(f"tag {scalar(item)}", _MAX_NAME)


def _deletion(record: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    date = plain(scalar(value_at(record, "responseElements", "deletionDate")), _MAX_NAME)
    days = plain(scalar(parameters.get("pendingWindowInDays")), _MAX_NAME)
    if date:
        yield f"deleted on {date}"
    elif days:
        yield f"deleted in {days} days"
    else:
        yield "deleted in 30 days"  # KMS API Reference, ScheduleKeyDeletion: the default


def _plain_parameters(parameters: Mapping[str, Any], told: set[str]) -> Iterator[str]:
    """Return the first parameters that are strings, numbers, or booleans, or lists of them."""
    left = _MAX_DETAILS
    for key, value in _scalars(parameters, 0):
        if left and value not in told and value not in _HIDDEN and not _NOISE.fullmatch(key):
            left -= 1
            yield f"{plain(key, _MAX_NAME)} {plain(value, _MAX_NAME)}"


def _scalars(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    for key, item in list(value.items())[:30]:
        if not isinstance(key, str) or _NOISE.fullmatch(key):
            continue
        if isinstance(item, Mapping):
            if depth < _DEPTH:
                yield from _scalars(item, depth + 1)
        elif isinstance(item, list):
            texts = [text for text in map(scalar, item[:5]) if text]
            if texts:
                yield key, ", ".join(texts) + (", …" if len(item) > len(texts) else "")
            elif depth < _DEPTH:
                for inner in item[:3]:
                    yield from _scalars(mapping_at({"x": inner}, "x"), depth + 1)
        else:
            yield key, scalar(item)
