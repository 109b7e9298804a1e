"""Another project's labelled events: where the shipped rules agree, and where not, and why.

The data lie beside the repository; only names are here. The other project has rewritten its events
a little: fields of its own (`p_...`) are added, and a third of the eventTimes are in its database's
format. Verdicts are about one record, and no shipped rule reads these fields.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import selectors

pytestmark = pytest.mark.conformance

COVERED = {
    "AWS.CloudTrail.Created": ("cloudtrail_config_changes", "cloudtrail_config_changes_strict"),
    "AWS.CloudTrail.IAMCompromisedKeyQuarantine": (
        *("iam_policy_changes", "iam_policy_changes_strict"),
    ),
    "AWS.CloudTrail.RootPasswordChanged": ("root_account_usage", "root_account_usage_strict"),
    "AWS.CloudTrail.Stopped": ("cloudtrail_config_changes", "cloudtrail_config_changes_strict"),
    "AWS.ConfigService.Created": ("aws_config_changes", "aws_config_changes_strict"),
    # The benchmark's own text goes by a message that the root user's failures need not carry.
    "AWS.Console.RootLoginFailed": ("console_auth_failures_strict",),
    "AWS.EC2.GatewayModified": ("network_gateway_changes", "network_gateway_changes_strict"),
    "AWS.EC2.NetworkACLModified": ("nacl_changes", "nacl_changes_strict"),
    "AWS.IAM.AccessKeyCompromised": ("iam_policy_changes", "iam_policy_changes_strict"),
    "AWS.IAM.AttachAdminRolePolicy": ("administrator_policy_attached",),
    "AWS.IAM.CreateUser": ("users_and_groups_changed",),
    "AWS.IAM.PolicyModified": ("iam_policy_changes", "iam_policy_changes_strict"),
    "AWS.KMS.CustomerManagedKeyLoss": ("disable_or_delete_cmk", "disable_or_delete_cmk_strict"),
    "AWS.S3.DeletePublicAccessBlock": ("s3_bucket_policy_changes_strict",),
    "AWS.Suspicious.SAML.Activity": ("federation_provider_changed",),
    "AWS.Unsuccessful.MFA.attempt": ("console_auth_failures", "console_auth_failures_strict"),
}
"""Detections, and the shipped rules that are to find the same: each of these alone."""

FAILED = "a failed call counts here: whoever tried is worth a look, whatever the errorCode"
ANY_POLICY = "every change of an IAM policy counts here, whichever policy it is"

DISAGREEMENTS = {
    ("AWS.CloudTrail.Created", "Error Creating CloudTrail"): FAILED,
    (
        "AWS.CloudTrail.IAMCompromisedKeyQuarantine",
        "PutUserPolicy-false",
    ): ANY_POLICY,
    ("AWS.CloudTrail.RootPasswordChanged", "Root Password Change Failed"): FAILED,
    ("AWS.CloudTrail.Stopped", "CloudTrail Was Started"): "the benchmark names StartLogging too",
    ("AWS.CloudTrail.Stopped", "Error Stopping CloudTrail"): FAILED,
    (
        "AWS.ConfigService.Created",
        "Config Recorder Deleted",
    ): "one rule for making and deleting, as in the benchmark",
    ("AWS.ConfigService.Created", "Error Creating Config Recorder Delivery Channel"): FAILED,
    ("AWS.EC2.GatewayModified", "Error Modifying Network Gateway"): FAILED,
    ("AWS.EC2.NetworkACLModified", "Error Modifying Network ACL"): FAILED,
    ("AWS.IAM.AccessKeyCompromised", "Request Param is null"): ANY_POLICY,
    ("AWS.IAM.PolicyModified", "IAM Policy Change Error"): FAILED,
    ("AWS.KMS.CustomerManagedKeyLoss", "KMS Disable Key Error"): FAILED,
    (
        "AWS.S3.DeletePublicAccessBlock",
        "Different S3 Event",
    ): "a block that is put anew can be a weaker one",
    ("AWS.S3.DeletePublicAccessBlock", "Public Access Block Deletion Failed"): FAILED,
    (
        "AWS.Suspicious.SAML.Activity",
        "Activity from AWSSSO Service Managed Role",
    ): "the packs except nobody: a site's own exceptions are filter documents",
}
"""Events on which the shipped rules decide otherwise, and why."""

READING = "reading, which changes nothing"
DATA = "protection of data, not access to it"
OPERATION = "daily operation of instances"

NOT_COVERED = {
    "AWS.Bedrock.DeleteModelInvocationLoggingConfiguration": "Amazon Bedrock's own settings",
    "AWS.Bedrock.GuardrailUpdateDelete": "Amazon Bedrock's own settings",
    "AWS.CloudTrail.Account.Discovery": READING,
    "AWS.CloudTrail.SES.CheckSendQuota": READING,
    "AWS.CloudTrail.SES.CheckSESSendingEnabled": READING,
    "AWS.CloudTrail.SES.ListIdentities": READING,
    "AWS.CloudTrail.UserAccessKeyAuth": "ordinary use of an access key",
    "AWS.EC2.ManyPasswordReadAttempts": READING,
    "AWS.EC2.Monitoring": OPERATION,
    "AWS.EC2.StopInstances": OPERATION,
    "AWS.IAM.Group.Read.Only.Events": READING,
    "AWS.Modify.Cloud.Compute.Infrastructure": OPERATION,
    "AWS.RDS.ActivityStreamStopped": DATA,
    "AWS.RDS.AutomatedBackupDeleted": DATA,
    "AWS.RDS.DeletionProtectionDisabled": DATA,
    "AWS.RDS.InstanceDeletion": DATA,
    "AWS.RDS.InstanceMadePublic": "access to databases, which no control is about",
    "AWS.RDS.MasterPasswordUpdated": "access to databases, which no control is about",
    "AWS.RDS.SecurityGroupIngressAuthorized": "access to databases, which no control is about",
    "AWS.RDS.SnapshotExport": DATA,
    "AWS.S3.DeleteBucketEncryption": DATA,
    "AWS.S3.DeleteObject": "a data event",
    "AWS.S3.DeleteObjects": "a data event",
    "AWS.S3.SuspendVersioning": DATA,
    "AWS.STS.GetSessionToken.Misuse": "ordinary use of credentials",
    "AWS.SecretsManager.BatchRetrieveSecrets": READING,
    "AWS.Software.Discovery": READING,
    "AWS.UnusedRegion": "it needs a list of the Regions in use: a rule of one's own",
    "AWS.VPCFlow.LogsDeleted": "flow logs, which no control is about",
    "AWS.WAF.Disassociation": "AWS WAF's own settings",
    "Retrieve.SSO.access.token": "signing in, which changes nothing",
}
"""Detections without a shipped rule of their own, and what they are about."""

GENERAL = frozenset(
    {"console_signin_without_mfa", "unauthorized_api_calls", "unauthorized_api_calls_strict"}
)
"""Rules that are about any call, or any sign-in, and so match events of other detections too."""


@dataclass(frozen=True)
class Labelled:
    detection: str
    test: str
    expected: bool
    matching: frozenset[str]
    """The shipped rules that match, by their files' names."""

    @property
    def key(self) -> tuple[str, str]:
        return self.detection, self.test

    @property
    def verdicts(self) -> set[bool]:
        """What the shipped rules for this detection say."""
        return {name in self.matching for name in COVERED[self.detection]}


@pytest.fixture(scope="module")
def shipped() -> RuleSet:
    return RuleSet.load(shipped_rules())


@pytest.fixture(scope="module")
def events(reference: Path, shipped: RuleSet) -> list[Labelled]:
    lines = (reference / "data" / "rule-verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    names = {rule_id: Path(rule.path).stem for rule_id, rule in shipped.rules.items()}

    def labelled(item: dict[str, Any]) -> Labelled:
        matching = frozenset(names[rule_id] for rule_id in shipped.match(item["log"]))
        return Labelled(item["rule_id"], item["test"], item["expected"], matching)

    return [labelled(json.loads(line)) for line in lines]


def test_each_detection_is_either_covered_or_left_out_for_a_reason(events: list[Labelled]) -> None:
    detections = {event.detection for event in events}
    assert COVERED.keys() | NOT_COVERED.keys() == detections
    assert not COVERED.keys() & NOT_COVERED.keys()
    assert all(NOT_COVERED.values())


def test_the_shipped_rules_agree_but_for_the_known_disagreements(events: list[Labelled]) -> None:
    of_covered = [event for event in events if event.detection in COVERED]
    differing = {event.key for event in of_covered if event.verdicts != {event.expected}}
    assert differing == DISAGREEMENTS.keys()
    assert all(DISAGREEMENTS.values())


def test_the_shipped_rules_find_whatever_the_covered_detections_find(
    events: list[Labelled],
) -> None:
    missed = [
        event.key
        for event in events
        if event.detection in COVERED and event.expected and event.verdicts != {True}
    ]
    assert missed == []


def test_only_general_rules_match_events_of_detections_that_are_left_out(
    events: list[Labelled],
) -> None:
    found = {
        event.key: event.matching - GENERAL
        for event in events
        if event.detection in NOT_COVERED and event.matching - GENERAL
    }
    assert found == {}


def test_no_shipped_rule_reads_what_the_other_project_has_rewritten(shipped: RuleSet) -> None:
    read = {
        str(selector.steps[0])
        for rule in shipped.rules.values()
        for selector in selectors(rule.tree)
    }
    assert {name for name in read if name == "eventTime" or name.startswith("p_")} == set()
