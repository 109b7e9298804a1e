"""An incident as a finding in the AWS Security Finding Format. Pure.

A text must have something in it, by a pattern whose dot takes no line break: so all of them are on
one line. Source: AWS Security Hub API Reference, "AwsSecurityFinding"; User Guide, "Using
BatchImportFindings".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from detector.alerts.alert import Alert
from detector.alerts.incident import incident_of, moment, stamp, started_at
from detector.alerts.plain import plain
from detector.alerts.resources import partition_of
from detector.alerts.story import Reading, Story, tell
from detector.config import SecurityHubSinkConfig
from detector.rules.rule import Level
from detector.sinks.security_hub.resources import resources_of
from detector.state.store import Notification

if TYPE_CHECKING:
    from types_aiobotocore_securityhub.literals import SeverityLabelType
    from types_aiobotocore_securityhub.type_defs import (
        AwsSecurityFindingTypeDef,
        FindingProviderFieldsTypeDef,
        RecommendationTypeDef,
    )

SCHEMA_VERSION = "2018-10-08"
PRODUCT = "cloudtrail-detector"

MAX_ID_CHARACTERS = 512
MAX_TITLE_CHARACTERS = 256
MAX_DESCRIPTION_CHARACTERS = 1_024
MAX_RECOMMENDATION_CHARACTERS = 512
MAX_TYPES = 50
MAX_PRODUCT_FIELDS = 50
MAX_KEY_CHARACTERS = 128
MAX_VALUE_CHARACTERS = 2_048
"""What Security Hub allows."""

MAX_EVENTS = 10
"""Ids of events among a finding's fields; all that are known are in other sinks' messages."""

_LABELS: Mapping[Level, SeverityLabelType] = {
    "informational": "INFORMATIONAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "critical": "CRITICAL",
}
_TYPES = {
    "initial-access": "TTPs/Initial Access",
    "execution": "TTPs/Execution",
    "persistence": "TTPs/Persistence",
    "privilege-escalation": "TTPs/Privilege Escalation",
    "defense-evasion": "TTPs/Defense Evasion",
    "stealth": "TTPs/Defense Evasion",
    "defense-impairment": "TTPs/Defense Evasion",
    "credential-access": "TTPs/Credential Access",
    "discovery": "TTPs/Discovery",
    "lateral-movement": "TTPs/Lateral Movement",
    "collection": "TTPs/Collection",
    "command-and-control": "TTPs/Command and Control",
    "exfiltration": "Effects/Data Exfiltration",
    "impact": "Effects/Resource Consumption",
}
"""Tactics by their tags, in the words of the finding format's own taxonomy."""

_OTHER_TYPE = "Unusual Behaviors/User"


def finding_of(
    notification: Notification,
    *,
    updated: datetime,
    config: SecurityHubSinkConfig,
    reading: Reading,
) -> AwsSecurityFindingTypeDef:
    """Return the finding of an alert's incident, as it is at a time.

    An import with a known id is an update if its time is later than the last one's.
    """
    alert, kind = notification.alert, notification.kind
    story = tell(alert, kind, reading)
    severity = _LABELS[alert.level]
    types = types_of(alert.tags)
    # What an update changes of these two is taken from here alone.
    provided: FindingProviderFieldsTypeDef = {
        "Severity": {"Label": severity, "Original": alert.level},
        "Types": types,
    }
    started = started_at(alert)
    finding: AwsSecurityFindingTypeDef = {
        "SchemaVersion": SCHEMA_VERSION,
        "Id": plain(f"{PRODUCT}/{alert.rule_id}/{incident_of(alert)}", MAX_ID_CHARACTERS),
        "ProductArn": config.product_arn or default_product(config),
        "GeneratorId": plain(alert.rule_id, MAX_ID_CHARACTERS),
        "AwsAccountId": config.account,
        "Types": types,
        "FirstObservedAt": stamp(started),
        "LastObservedAt": stamp(max(started, moment(alert.last_event_time))),
        "CreatedAt": stamp(min(started, updated)),
        "UpdatedAt": stamp(updated),
        "Severity": {"Label": severity, "Original": alert.level},
        "FindingProviderFields": provided,
        "Title": _title(alert, story),
        "Description": plain(_description(story), MAX_DESCRIPTION_CHARACTERS) or story.headline,
        "ProductFields": _product_fields(alert, story),
        "Resources": resources_of(alert, config.account, config.region),
        "RecordState": "ARCHIVED" if kind == "resolved" else "ACTIVE",
    }
    recommendation = _recommendation(alert, story)
    if recommendation:
        finding["Remediation"] = {"Recommendation": recommendation}
    if story.links:
        finding["SourceUrl"] = story.links[0].href
    return finding


def default_product(config: SecurityHubSinkConfig) -> str:
    """Return the product that each account has for findings of its own."""
    partition = partition_of(config.region)
    return (
        f"arn:{partition}:securityhub:{config.region}:{config.account}"
        f":product/{config.account}/default"
    )


def types_of(tags: Iterable[str]) -> list[str]:
    """Return the types of a finding, by a rule's tags: its tactics."""
    found = [
        _TYPES[tactic]
        for tag in tags
        if (tactic := tag.removeprefix("attack.").replace("_", "-")) in _TYPES
    ]
    return list(dict.fromkeys(found))[:MAX_TYPES] or [_OTHER_TYPE]


def _title(alert: Alert, story: Story) -> str:
    mark = "" if not alert.test or "[TEST]" in story.title else "[TEST] "
    return plain(mark + story.title, MAX_TITLE_CHARACTERS) or alert.rule_id


def _description(story: Story) -> str:
    rows = [f"{label}: {value}" for label, value in story.rows]
    return " | ".join([story.summary, *rows])


def _recommendation(alert: Alert, story: Story) -> RecommendationTypeDef:
    text = plain(story.runbook or alert.description, MAX_RECOMMENDATION_CHARACTERS)
    return {"Text": text} if text else {}


def _product_fields(alert: Alert, story: Story) -> dict[str, str]:
    """Return what the format has no place for; what is empty is left out, as it is refused."""
    fields: dict[str, str] = {}
    for name, value in _fields(alert, story):
        key = plain(f"{PRODUCT}/{name}", MAX_KEY_CHARACTERS)
        shown = plain(value, MAX_VALUE_CHARACTERS)
        if shown and len(fields) < MAX_PRODUCT_FIELDS:
            fields.setdefault(key, shown)
    return fields


def _fields(alert: Alert, story: Story) -> Iterator[tuple[str, str]]:
    episode = alert.episode
    # The real account comes first: AwsAccountId is that of the caller, whatever it was about.
    yield "accounts", ", ".join(alert.accounts)
    yield "regions", ", ".join(alert.regions)
    yield "alert_id", alert.id
    yield "rule_name", alert.rule_name
    yield "status", alert.status
    yield "summary", story.summary
    yield "count", str(episode.count if episode else alert.count)
    yield "threshold", f"{alert.threshold:g}"
    yield "window_start", alert.window.start
    yield "window_end", alert.window.end
    yield "late", str(alert.late).lower()
    yield "event_names", ", ".join(alert.event_names)
    yield "actors", ", ".join(alert.actors)
    yield "source_ips", ", ".join(alert.source_ips)
    yield "reason", alert.reason
    yield "techniques", ", ".join(techniques_of(alert.tags))
    if alert.digest is not None:
        told = alert.digest
        yield "digest", f"{told.notifications} notifications, {told.events} events"
        yield "digest_rules", ", ".join(entry.title for entry in told.entries)
    for number, event_id in enumerate(alert.event_ids[:MAX_EVENTS]):
        yield f"event_id/{number + 1}", event_id
    for name, value in alert.group.items():
        yield f"group/{name}", "" if value is None else str(value)
    for standard, control in alert.controls.items():
        shown = control if isinstance(control, str) else _versions(control)
        yield f"control/{standard}", shown


def techniques_of(tags: Iterable[str]) -> list[str]:
    """Return the ATT&CK techniques among a rule's tags: T1098.003."""
    names = [tag.removeprefix("attack.").upper() for tag in tags if tag.startswith("attack.t")]
    return [name for name in names if name[1:2].isdigit()]


def _versions(control: Mapping[str, str]) -> str:
    return ", ".join(f"{version}: {number}" for version, number in control.items())
