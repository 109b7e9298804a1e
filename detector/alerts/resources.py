"""Which resources an event touched: as far as its record names them.

Source: AWS CloudTrail User Guide, "CloudTrail record contents" (requestParameters,
responseElements, resources).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detector.alerts.alert import Alert
from detector.alerts.fields import (
    field_of,
    items_of,
    mapping_at,
    parameters_of,
    scalar,
    text_at,
)
from detector.alerts.plain import plain
from detector.alerts.resource_kinds import (
    ACCOUNT,
    ALIAS,
    ARN_TYPES,
    CENTER_GROUP,
    CENTER_USER,
    EC2_IDS,
    KEY,
    PARAMETERS,
    USER,
    Kind,
)

MAX_RESOURCES = 32
"""Of one alert: as many as one finding of Security Hub holds."""

MAX_NAME_CHARACTERS = 512
"""Of a name; the longest ARNs, of roles with a path, have some 600, and theirs may be longer."""

MAX_ARN_CHARACTERS = 2_048

OTHER = "Other"
"""The type of what is no kind that this module knows."""

_DEPTH = 6
"""Levels into which ids of EC2 are looked for; its deepest requests have five."""

_LONGEST_ID = 64

_NODES = 500
"""Values that are looked at for ids of EC2: a request with a hundred permissions has as many."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something in AWS that an event touched.

    `arn` is empty where neither the record nor a rule of AWS's tells it. That of an IAM user,
    group, role or instance profile is made without a path where only its name is logged. `account`
    and `region` are where it is; the region of global ones is empty.
    """

    type: str
    name: str
    arn: str = ""
    account: str = ""
    region: str = ""


_RANK = {kind: rank for rank, (kind, _) in enumerate(EC2_IDS.values())}
_EC2_ID = re.compile(r"([a-z]+(?:-[a-z]+)*)-[0-9a-f]{8,17}")
_ARN = re.compile(r"arn:([^:\s]*):([^:\s]*):([^:\s]*):([^:\s]*):(\S.*)", re.DOTALL)
_SPLIT = re.compile(r"[:/]")


def resources(alert: Alert) -> tuple[Resource, ...]:
    """Return the resources that an alert's evidence names, each once, at most `MAX_RESOURCES`."""
    found: dict[tuple[str, str], Resource] = {}
    for record in alert.evidence:
        for resource in resources_of(record):
            found.setdefault((resource.type, resource.arn or resource.name), resource)
    return tuple(found.values())[:MAX_RESOURCES]


def resources_of(record: Mapping[str, Any]) -> tuple[Resource, ...]:
    """Return the resources that a record names, what it is about most first."""
    where = _Where(record)
    found: dict[str, Resource] = {}
    named = [*_asked(record, where), *_answered(record, where)]
    if service_of(record) == "ec2" and text_at(record, "eventName").startswith("Create"):
        # What is made is in the answer, and the request has only what it belongs to.
        named = [*_answered(record, where), *named]
    for resource in (*named, *_listed(record)):
        if not resource.name:
            continue
        earlier = found.get(resource.name)
        if earlier is None or _is_better(resource, earlier):
            found[resource.name] = resource
    return tuple(found.values())[:MAX_RESOURCES]


def by_arn(arn: str, kind: str = "") -> Resource | None:
    """Return the resource of an ARN; None if it is none."""
    match = _ARN.fullmatch(arn[:MAX_ARN_CHARACTERS])
    if match is None:
        return None
    _, service, region, account, rest = match.groups()
    first, *others = _SPLIT.split(rest, maxsplit=1)
    type_ = ARN_TYPES.get((service, first), "")
    name = rest
    if service == "s3" and not region:
        type_ = "AWS::S3::Object" if others else "AWS::S3::Bucket"
    elif service == "ssm":
        name = rest.removeprefix("parameter")  # its name begins with the slash
    elif others and type_:
        # A path is part of the ARN only; a policy's name is what a person knows.
        name = rest.rpartition("/")[2] if service in {"iam", "sso", "sts"} else others[0]
    return Resource(
        type=kind or type_ or OTHER,
        name=plain(name, MAX_NAME_CHARACTERS),
        arn=plain(arn, MAX_ARN_CHARACTERS),
        account=plain(account, 12),
        region=plain(region, 32),
    )


def service_of(record: Mapping[str, Any]) -> str:
    """Return the short name of the service of a record, like `iam`."""
    return text_at(record, "eventSource").partition(".")[0]


class _Where:
    """Where a record's resources are, if it does not say otherwise."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        account = text_at(record, "recipientAccountId") or text_at(
            record, "userIdentity", "accountId"
        )
        self.account = plain(account, 12)
        self.region = plain(text_at(record, "awsRegion"), 32)
        self.partition = partition_of(self.region)

    def make(self, kind: Kind, name: str) -> Resource | None:
        """Return a resource by what a parameter holds: its name, or its ARN."""
        if name.startswith("arn:"):
            return by_arn(name, kind.type)
        if not name:
            return None
        name = plain(name, MAX_NAME_CHARACTERS)
        is_known = bool(kind.arn) and bool(self.account or "$a" not in kind.arn)
        part = kind.arn.replace("$r", self.region).replace("$a", self.account)
        is_global = "$r" not in kind.arn and bool(kind.arn)
        return Resource(
            type=kind.type,
            name=name,
            arn=f"arn:{self.partition}:{part.replace('{}', name)}" if is_known else "",
            account=self.account,
            region="" if is_global else self.region,
        )


def partition_of(region: str) -> str:
    """Return the partition of a region: `aws`, or another that has its own accounts.

    Source: botocore's `partitions.json`.
    """
    for start, partition in (
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("eusc-", "aws-eusc"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
    ):
        if region.startswith(start):
            return partition
    return "aws"


def _asked(record: Mapping[str, Any], where: _Where) -> Iterator[Resource]:
    """Return what the request names."""
    parameters = parameters_of(record)
    service = service_of(record)
    if service == "ec2":
        yield from _ec2(parameters, where)
        return
    for key, kind in PARAMETERS.get(service, {}).items():
        for item in items_of(field_of(parameters, key)):
            name = scalar(item) or text_at(item, "name") or text_at(item, "userId")
            resource = where.make(_narrowed(kind, name), name)
            if resource is not None:
                yield resource
    yield from _members(service, parameters, where)
    for key, value in list(parameters.items())[:50]:
        if isinstance(key, str) and key.lower().endswith("arn") and isinstance(value, str):
            resource = by_arn(value)
            if resource is not None:
                yield resource


def _members(service: str, parameters: Mapping[str, Any], where: _Where) -> Iterator[Resource]:
    """Return the users and groups of Identity Center that a request is about."""
    kind, name = CENTER_USER, ""
    if service in {"sso-directory", "identitystore"}:
        # The console's own calls and the API's put it into different places.
        name = text_at(parameters, "member", "memberId") or text_at(
            parameters, "memberId", "userId"
        )
    elif service == "sso":
        kind = CENTER_GROUP if parameters.get("principalType") == "GROUP" else CENTER_USER
        name = text_at(parameters, "principalId")
    resource = where.make(kind, name)
    if resource is not None:
        yield resource


def _narrowed(kind: Kind, name: str) -> Kind:
    """Return what a name is of where a parameter takes names of several kinds."""
    if kind is KEY and name.startswith("alias/"):
        return ALIAS
    if kind.type != "AWS::Organizations::Target":
        return kind
    if name.startswith("ou-"):
        return Kind("AWS::Organizations::OrganizationalUnit")
    return Kind("AWS::Organizations::Root") if name.startswith("r-") else ACCOUNT


def _answered(record: Mapping[str, Any], where: _Where) -> Iterator[Resource]:
    """Return what the answer names: what was made, and ARNs with their path."""
    service = service_of(record)
    response = mapping_at(record, "responseElements")
    if service == "ec2":
        if not text_at(record, "errorCode"):
            yield from _ec2(response, where)
        return
    for value in list(response.values())[:10]:
        arn = text_at(value, "arn")
        resource = by_arn(arn) if arn else None
        if resource is not None:
            yield resource
    if service == "iam":
        made = mapping_at(response, "accessKey")
        for kind, key in ((USER, "userName"), (Kind("AWS::IAM::AccessKey"), "accessKeyId")):
            resource = where.make(kind, text_at(made, key))
            if resource is not None:
                yield resource
    if service == "cloudtrail":
        resource = by_arn(text_at(response, "trailARN"))
        if resource is not None:
            yield resource


def _listed(record: Mapping[str, Any]) -> Iterator[Resource]:
    """Return what CloudTrail's own list of resources has, if a record has one."""
    for item in items_of(record.get("resources")):
        kind = plain(text_at(item, "type"), 128)
        resource = by_arn(text_at(item, "ARN") or text_at(item, "arn"), kind)
        if resource is None:
            continue
        account = resource.account or plain(text_at(item, "accountId"), 12)
        yield Resource(resource.type, resource.name, resource.arn, account, resource.region)


def _ec2(value: Any, where: _Where) -> list[Resource]:
    """Return the resources of all ids of EC2 in a value, the most telling kinds first."""
    found: dict[str, Resource] = {}
    for text in _strings(value):
        match = _EC2_ID.fullmatch(text)
        if match is None or match[1] not in EC2_IDS or text in found:
            continue
        type_, part = EC2_IDS[match[1]]
        made = where.make(Kind(type_, f"ec2:$r:$a:{part}/{{}}"), text)
        if made is not None:
            found[text] = made
    return sorted(found.values(), key=lambda resource: _RANK[resource.type])


def _strings(value: Any) -> Iterator[str]:
    """Return the strings in a value that could be ids, as far as it is looked into."""
    waiting, seen = [(value, 0)], 0
    while waiting and seen < _NODES:
        node, depth = waiting.pop(0)
        seen += 1
        if isinstance(node, str):
            if len(node) <= _LONGEST_ID:
                yield node
        elif depth < _DEPTH:
            inner = node.values() if isinstance(node, Mapping) else node
            if isinstance(node, (Mapping, list)):
                waiting.extend((item, depth + 1) for item in list(inner)[:_NODES])


def _is_better(resource: Resource, earlier: Resource) -> bool:
    """Return whether one of two of the same name tells more: an ARN that was not made here."""
    return resource.type == earlier.type and bool(resource.arn) and resource.arn != earlier.arn
