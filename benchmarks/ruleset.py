"""Seeded rules in the proportions of a real collection: most by name, some by other fields.

Of SigmaHQ's 57 CloudTrail rules 49 name the events that they are about, most with the event source;
the others look at the user agent, the error, the identity or the sign-in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

NAMED_SHARE = 0.88
"""Of rules that name the events that they are about."""

FILTERED_SHARE = 0.4
"""Of Sigma rules that make an exception."""

SEEN_SHARE = 0.05
"""Of rules about an event that the generated logs hold, besides others."""

_SERVICES = (
    "iam", "ec2", "s3", "kms", "rds", "lambda", "ecs", "eks", "ssm", "sts", "route53", "config",
    "guardduty", "cloudtrail", "organizations", "secretsmanager", "dynamodb", "sns", "sqs", "logs",
)  # fmt: skip
_VERBS = (
    "Create", "Delete", "Put", "Update", "Modify", "Attach", "Detach", "Disable", "Enable",
    "Associate", "Disassociate", "Authorize", "Revoke", "Start", "Stop", "Register", "Deregister",
)  # fmt: skip
_NOUNS = (
    "Policy", "Role", "User", "Group", "Key", "Bucket", "Instance", "Snapshot", "Cluster", "Table",
    "Function", "Trail", "Detector", "Recorder", "Rule", "Route", "Gateway", "Subnet", "Volume",
    "Secret", "Parameter", "Document", "Topic", "Queue", "Stream", "Domain", "Certificate", "Alias",
)  # fmt: skip
_SEEN = (
    "RunInstances", "ModifyInstanceAttribute", "PutParameter", "AssumeRole", "GetPasswordData",
    "GetSecretValue", "PutRolePolicy", "AttachUserPolicy", "CreatePolicyVersion",
)  # fmt: skip
"""Names that the generated logs hold."""


def write_rules(folder: Path, count: int, seed: int = 1) -> None:
    """Write this many rule files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, rule in enumerate(rules(count, seed)):
        text = yaml.dump(rule, Dumper=yaml.CSafeDumper, sort_keys=False)
        (folder / f"generated_{number:04}.yml").write_text(text, encoding="utf-8")


def rules(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield rules as plain data."""
    chance = random.Random(seed)
    for number in range(count):
        yield {
            "title": f"Generated rule {number}",
            "id": f"generated-{seed}-{number}",
            "level": chance.choice(("low", "medium", "high")),
            "description": "A rule of a generated set, to measure what many rules cost.",
            "tags": ["attack.persistence", "attack.t1098"],
            **_condition(chance, number),
            "window": {"group_by": ["recipientAccountId"]},
        }


def _condition(chance: random.Random, number: int) -> dict[str, Any]:
    if chance.random() < NAMED_SHARE:
        return chance.choice((_by_pattern, _by_detection))(chance)
    selection = _by_other_fields(chance, number)
    return {"detection": {"selection": selection, "condition": "selection"}}


def _names(chance: random.Random) -> list[str]:
    names = [chance.choice(_VERBS) + chance.choice(_NOUNS) for _ in range(chance.randint(1, 8))]
    if chance.random() < SEEN_SHARE:
        names.append(chance.choice(_SEEN))
    return names


def _by_pattern(chance: random.Random) -> dict[str, Any]:
    source = f"{chance.choice(_SERVICES)}.amazonaws.com"
    names = " || ".join(f'($.eventName = "{name}")' for name in _names(chance))
    parameter = chance.choice(("policyArn", "roleName", "name"))
    extra = chance.choice(
        (
            "",
            ' && ($.errorCode NOT EXISTS || $.errorCode != "AccessDenied*")',
            ' && ($.userIdentity.type != "AWSService")',
            f" && ($.requestParameters.{parameter} = *admin*)",
        )
    )
    return {"pattern": f"{{ ($.eventSource = {source}) && ({names}){extra} }}"}


def _by_detection(chance: random.Random) -> dict[str, Any]:
    selection: dict[str, Any] = {
        "eventSource": f"{chance.choice(_SERVICES)}.amazonaws.com",
        "eventName": _names(chance),
    }
    if chance.random() >= FILTERED_SHARE:
        return {"detection": {"selection": selection, "condition": "selection"}}
    excepted = chance.choice(
        (
            {"userAgent|contains": "Terraform"},
            {"userIdentity.sessionContext.sessionIssuer.userName|endswith": "-ci"},
            {"sourceIPAddress|cidr": "10.0.0.0/8"},
        )
    )
    condition = "selection and not filter_main"
    return {"detection": {"selection": selection, "filter_main": excepted, "condition": condition}}


def _by_other_fields(chance: random.Random, number: int) -> dict[str, Any]:
    noun, verb = chance.choice(_NOUNS), chance.choice(_VERBS)
    return chance.choice(
        (
            {"userAgent|contains": f"{chance.choice(('kali', 'pacu', 'boto2', 'cobalt'))}{number}"},
            {
                "eventSource": f"{chance.choice(_SERVICES[5:])}.amazonaws.com",
                "eventName|startswith": verb + noun,
            },
            {"errorCode": f"Client.{noun}.{number}"},
            {"errorMessage|contains": f"{noun} {number} is quarantined"},
            {"userIdentity.type": "Root", "eventName|startswith": verb},
            {"userIdentity.arn|re": rf":user/{chance.choice(('tmp', 'test'))}-{number}\d+$"},
        )
    )
