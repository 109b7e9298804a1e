"""A CloudTrail record as evidence of an OCSF finding.

Nothing is taken for granted of a record but that it is an object: what has another type than
CloudTrail gives it is left out here, and is still in `data`, which is the record itself.

Sources: OCSF 1.8.0, objects "evidences", "api", "actor", "user", "session", "network_endpoint" and
"resource_details"; AWS CloudTrail User Guide, "CloudTrail record contents".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from detector.rules.values import epoch_seconds

MAX_RESOURCES = 20
"""Of one record: a call names one to three, a batch call some hundreds."""

TARGET = {"role_id": 1, "role": "Target"}

_RESOURCE_KEY = re.compile(r"(?:\w*Name|\w*A(?:rn|RN)|\w+Id|name|arn)")
_NO_RESOURCES = frozenset({"sessionName", "roleSessionName", "displayName", "clientRequestId"})
"""Request parameters that look as if they named one."""

_USER_TYPES = {
    "IAMUser": (1, "User"),
    "IdentityCenterUser": (1, "User"),
    "SAMLUser": (1, "User"),
    "WebIdentityUser": (1, "User"),
    "Root": (2, "Admin"),
    "AWSService": (4, "Service"),
}
"""Of CloudTrail's types of identities those that OCSF has too; a role is neither."""


def evidence_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as an item of `evidences`, itself in it in full."""
    agent = text(record, "userAgent")
    told = {
        "uid": text(record, "eventID"),
        "api": _api(record),
        "actor": _actor(record),
        "src_endpoint": endpoint(text(record, "sourceIPAddress")),
        "http_request": {"user_agent": agent} if agent else None,
        "resources": resources_of(record),
    }
    return {**present(told), "data": record}


def cloud(region: str, account: str) -> dict[str, Any]:
    """Return where something happened; what is not known is empty."""
    return present({"provider": "AWS", "region": region, "account": account_of(account)})


def account_of(account: str) -> dict[str, Any] | None:
    """Return an AWS account by its id, None without one."""
    return {"uid": account, "type_id": 10, "type": "AWS Account"} if account else None


def endpoint(source: str) -> dict[str, str] | None:
    """Return where a call came from: an address, or the service of AWS that made it."""
    if address := ip_address(source):
        return {"ip": address}
    return {"domain": source} if source else None


def ip_address(source: str) -> str | None:
    """Return an IP address in its usual form, None for what is none."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        return None
    return str(address)


def resources_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a call was about: the record's resources, and those its parameters name.

    Parameters are taken by their names, `policyArn`, `userName` or `vpcId`, which are the types.
    """
    found = [*_listed(record), *_named(record)]
    return list({item.get("uid") or item["name"]: item for item in found}.values())[:MAX_RESOURCES]


def _listed(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = record.get("resources")
    made = []
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, Mapping):
            arn = text(item, "ARN") or text(item, "arn") or text(item, "ARNPrefix")
            if arn:
                made.append(present({"uid": arn, "type": text(item, "type"), **TARGET}))
    return made


def _named(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    parameters = _object(record, "requestParameters")
    made = []
    for key in parameters:
        value = text(parameters, key)
        if value and key not in _NO_RESOURCES and _RESOURCE_KEY.fullmatch(key):
            is_name = key.endswith(("Name", "name")) and not value.startswith("arn:")
            made.append({"name" if is_name else "uid": value, "type": key, **TARGET})
    return made


def _api(record: Mapping[str, Any]) -> dict[str, Any] | None:
    operation = text(record, "eventName")
    if not operation:
        return None
    service, request = text(record, "eventSource"), text(record, "requestID")
    return present(
        {
            "operation": operation,
            "version": text(record, "apiVersion"),
            "service": {"name": service} if service else None,
            "request": {"uid": request} if request else None,
            "response": present(
                {
                    "error": text(record, "errorCode"),
                    "error_message": text(record, "errorMessage"),
                }
            ),
        }
    )


def _actor(record: Mapping[str, Any]) -> dict[str, Any]:
    identity = _object(record, "userIdentity")
    return present(
        {
            "user": _user(identity),
            "session": _session(identity),
            "app_name": text(identity, "invokedBy"),
            "idp": present({"name": text(identity, "identityProvider")}),
        }
    )


def _user(identity: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, arn = text(identity, "type"), text(identity, "arn")
    named = present(
        {
            # The ARN of an assumed role ends with the session's name, the person's as a rule.
            "name": text(identity, "userName") or arn.rpartition("/")[2],
            "uid": arn,
            "uid_alt": text(identity, "principalId"),
            "account": account_of(text(identity, "accountId")),
        }
    )
    if not named.keys() & {"name", "uid", "account"}:
        return None
    type_id, type_ = _USER_TYPES.get(kind, (99, kind) if kind else (0, "Unknown"))
    return {**named, "type_id": type_id, "type": type_}


def _session(identity: Mapping[str, Any]) -> dict[str, Any]:
    context = _object(identity, "sessionContext")
    issuer, attributes = _object(context, "sessionIssuer"), _object(context, "attributes")
    mfa = {"true": True, "false": False}.get(text(attributes, "mfaAuthenticated"))
    return present(
        {
            "uid": text(context, "sourceIdentity"),
            "uid_alt": text(identity, "arn") if issuer else "",
            "issuer": text(issuer, "arn"),
            "credential_uid": text(identity, "accessKeyId"),
            "created_time": milliseconds(text(attributes, "creationDate")),
            "is_mfa": mfa,
        }
    )


def milliseconds(moment: str) -> int | None:
    """Return a time as OCSF has it, None for what is none."""
    seconds = epoch_seconds(moment) if moment else None
    return None if seconds is None else round(seconds * 1000)


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an object there is: OCSF has no nulls and nothing empty."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and value not in ("", {}, [])
    }


def text(record: Mapping[str, Any], name: str) -> str:
    """Return a field that should be a string, else an empty one."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}
