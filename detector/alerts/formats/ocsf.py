"""The alert as a Detection Finding of the Open Cybersecurity Schema Framework.

The finding is the incident, not the alert: `finding_info.uid` is what all alerts of an episode
share, so that a receiver which keeps findings by their uid keeps one, that is created, updated and
closed. The alert's own id is `uid_alt`, and the message's `metadata.uid`. What OCSF has no place
for is in `unmapped`, under the alert's own names.

Source: OCSF 1.8.0, class "detection_finding" (2004) with the profile "cloud".
"""

from __future__ import annotations

from typing import Any

import msgspec

from detector import __version__
from detector.alerts.alert import Alert
from detector.alerts.formats.attack import attacks_of
from detector.alerts.formats.ocsf_evidence import (
    cloud,
    evidence_of,
    ip_address,
    milliseconds,
    present,
)
from detector.alerts.formats.standard import told_at
from detector.alerts.story import Reading, tell
from detector.rules.rule import Level
from detector.sinks.sink import message_id
from detector.state.store import Notification

SCHEMA_VERSION = "1.8.0"

PRODUCT = "cloudtrail-detector"

MAX_OBSERVABLES = 200
"""They repeat what is elsewhere, for look-ups: all of an alert's names of each kind, as a rule."""

_CLASS, _CATEGORY = 2004, 2
_CREATE, _UPDATE, _CLOSE = (1, "Create"), (2, "Update"), (3, "Close")
_NEW, _SUPPRESSED, _RESOLVED, _DELETED = (
    (1, "New"),
    (3, "Suppressed"),
    (4, "Resolved"),
    (6, "Deleted"),
)
_IP_ADDRESS, _USER_NAME, _RESOURCE = (2, "IP Address"), (4, "User Name"), (10, "Resource UID")
_USER, _ACCOUNT = (31, "User Object: uid"), (35, "Account Object: uid")

_SEVERITIES: dict[Level, tuple[int, str]] = {
    "informational": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}

_MAPPED = frozenset({"title", "description", "runbook", "event_ids", "evidence", "tags"})
"""What the finding's own attributes hold as it is."""


def ocsf_body(notification: Notification) -> bytes:
    """Return the finding as it is now."""
    alert = notification.alert
    activity_id, activity = _activity(notification)
    severity_id, severity = _SEVERITIES[alert.level]
    status_id, status = _status(alert)
    evidences = [evidence_of(record) for record in alert.evidence]
    resources = _resources(evidences)
    story = tell(alert, notification.kind, Reading())
    finding = {
        "class_uid": _CLASS,
        "class_name": "Detection Finding",
        "category_uid": _CATEGORY,
        "category_name": "Findings",
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": _CLASS * 100 + activity_id,
        "type_name": f"Detection Finding: {activity}",
        "time": milliseconds(told_at(notification)) or 0,
        "start_time": milliseconds(alert.window.start),
        "end_time": milliseconds(alert.window.end),
        "count": alert.count or None,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_detail": alert.reason,
        "is_alert": _is_alert(notification),
        "message": f"{story.headline}: {story.summary}",
        "metadata": _metadata(notification),
        "cloud": cloud(_only(alert.regions), _only(alert.accounts)),
        "finding_info": _finding_info(notification),
        "remediation": {"desc": alert.runbook} if alert.runbook else None,
        "resources": resources,
        "evidences": evidences,
        "observables": _observables(alert, resources),
        "unmapped": {"kind": notification.kind, **_unmapped(alert)},
    }
    return msgspec.json.encode(present(finding))


def _activity(notification: Notification) -> tuple[int, str]:
    """Return what becomes of the finding: a later window's alert creates none that is there."""
    alert = notification.alert
    if notification.kind == "resolved":
        return _CLOSE
    is_first = alert.dedup_key in ("", alert.id)
    return _CREATE if notification.kind == "raised" and is_first else _UPDATE


def _status(alert: Alert) -> tuple[int, str]:
    if alert.state == "withdrawn":
        return _DELETED
    if alert.state == "resolved":
        return _RESOLVED
    return _NEW if alert.suppressed is None else _SUPPRESSED


def _is_alert(notification: Notification) -> bool:
    """Return whether somebody is to be told now, as other sinks would page."""
    alert = notification.alert
    return notification.kind == "raised" and alert.status == "stable" and alert.suppressed is None


def _metadata(notification: Notification) -> dict[str, Any]:
    alert = notification.alert
    labels = [label for label, holds in (("test", alert.test), ("late", alert.late)) if holds]
    if alert.status != "stable":
        labels.append("staged")
    return present(
        {
            "version": SCHEMA_VERSION,
            "product": {
                "name": PRODUCT,
                "uid": PRODUCT,
                "vendor_name": PRODUCT,
                "version": __version__,
            },
            "profiles": ["cloud"],
            "uid": message_id(notification),
            "correlation_uid": alert.dedup_key or alert.id,
            "sequence": alert.revision,
            "logged_time": milliseconds(told_at(notification)),
            "labels": labels,
            "is_truncated": bool(alert.truncated),
        }
    )


def _finding_info(notification: Notification) -> dict[str, Any]:
    alert = notification.alert
    told = milliseconds(told_at(notification))
    return present(
        {
            "uid": alert.dedup_key or alert.id,
            "uid_alt": alert.id,
            "title": f"[TEST] {alert.title}" if alert.test else alert.title,
            "desc": alert.description,
            "types": _types(alert),
            "analytic": _analytic(alert),
            "attacks": attacks_of(alert.tags),
            "tags": [{"name": "tags", "values": alert.tags}] if alert.tags else [],
            "data_sources": ["AWS CloudTrail"],
            "created_time": told if _activity(notification) == _CREATE else None,
            "modified_time": told,
            "first_seen_time": milliseconds(alert.first_event_time),
            "last_seen_time": milliseconds(alert.last_event_time),
            **_related(alert),
        }
    )


def _analytic(alert: Alert) -> dict[str, Any]:
    is_own, is_stable = alert.counting == "own", alert.status == "stable"
    return {
        "type_id": 99 if is_own else 1,
        "type": "Self-monitoring" if is_own else "Rule",
        "uid": alert.rule_id,
        "name": alert.rule_name or alert.title,
        "state_id": 1 if is_stable else 3,
        "state": "Active" if is_stable else "Experimental",
    }


def _related(alert: Alert) -> dict[str, Any]:
    """Return the events that it is about, and in a digest the alerts."""
    if alert.digest is None:
        uids, count = alert.event_ids, alert.count
    else:
        uids, count = alert.digest.alert_ids, alert.digest.notifications
    return {
        "related_events": [{"uid": uid} for uid in uids if uid],
        "related_events_count": count or None,
    }


def _types(alert: Alert) -> list[str]:
    """Return the controls that it is evidence for, one each: `cis-aws-foundations v5.0.0 4.4`."""
    types = []
    for framework, controls in alert.controls.items():
        if isinstance(controls, str):
            types.append(f"{framework} {controls}")
        else:
            types += [f"{framework} {version} {number}" for version, number in controls.items()]
    return types


def _resources(evidences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what all calls that there is evidence of were about, each once."""
    found = (item for evidence in evidences for item in evidence.get("resources", ()))
    return list({item.get("uid") or item["name"]: item for item in found}.values())


def _observables(alert: Alert, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what other data can be searched for; each says where in the finding it stands."""
    made = [
        *_observed("unmapped.source_ips", _IP_ADDRESS, filter(ip_address, alert.source_ips)),
        *(
            item
            for actor in alert.actors
            for item in _observed(
                "unmapped.actors", _USER if actor.startswith("arn:") else _USER_NAME, [actor]
            )
        ),
        *_observed("unmapped.accounts", _ACCOUNT, alert.accounts),
        *_observed("resources.uid", _RESOURCE, (item.get("uid", "") for item in resources)),
    ]
    return made[:MAX_OBSERVABLES]


def _observed(name: str, kind: tuple[int, str], values: Any) -> list[dict[str, Any]]:
    type_id, type_ = kind
    return [
        {"name": name, "type_id": type_id, "type": type_, "value": value}
        for value in values
        if value
    ]


def _unmapped(alert: Alert) -> dict[str, Any]:
    return present(
        {name: getattr(alert, name) for name in alert.__struct_fields__ if name not in _MAPPED}
    )


def _only(values: list[str]) -> str:
    """Return the value of a list that has one, else nothing: a finding has one place, or none."""
    return values[0] if len(values) == 1 else ""
