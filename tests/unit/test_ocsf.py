from typing import Any

import msgspec
import pytest

from detector.alerts.alert import Alert, Digest, DigestEntry, Suppressed
from detector.alerts.formats import body_of
from detector.alerts.formats.attack import attacks_of
from detector.alerts.formats.ocsf_evidence import endpoint, evidence_of, resources_of
from detector.alerts.own import silence_alert
from detector.alerts.text import NotificationKind
from detector.envelopes.log_file import Trail
from detector.sinks.sink import message_id
from detector.state.store import Notification
from detector.windows.hearing import Silence
from tests.alerts import alert
from tests.ocsf import faults_of
from tests.records import ACCOUNT, NOON, record

ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice@example.com"
ASSUMED = {
    "type": "AssumedRole",
    "principalId": "AROAEXAMPLE:alice@example.com",
    "arn": ROLE,
    "accountId": ACCOUNT,
    "accessKeyId": "ASIAEXAMPLE",
    "sessionContext": {
        "sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/Admin"},
        "attributes": {"creationDate": "2026-09-16T11:00:00Z", "mfaAuthenticated": "true"},
        "sourceIdentity": "alice",
    },
}


def finding(
    made: Alert, kind: NotificationKind = "raised", made_at: float = NOON + 400
) -> dict[str, Any]:
    """Return the finding of an alert, which the schema has nothing against."""
    body = body_of("ocsf", Notification(made, kind, made_at=made_at), 10_000_000)
    assert body.content_type == "application/json"
    shown: dict[str, Any] = msgspec.json.decode(body.content)
    assert faults_of(shown) == []
    return shown


def changed(**fields: Any) -> Alert:
    return msgspec.structs.replace(alert(), **fields)


def test_the_schema_has_something_against_what_is_wrong() -> None:
    shown = finding(alert())
    for wrong in (
        {**shown, "severity_id": 9},
        {**shown, "time": "now"},
        {**shown, "no_such_attribute": 1},
        {**shown, "type_uid": 200500},
        {name: value for name, value in shown.items() if name != "cloud"},
        {**shown, "finding_info": {"title": "no uid"}},
        {**shown, "evidences": [{"name": "nothing that evidence must have"}]},
    ):
        assert faults_of(wrong)


def test_a_finding_says_what_when_where_and_by_which_rule() -> None:
    made = changed(runbook="Ask who did it.", truncated=["actors"], revision=2)
    shown = finding(made)
    noon = round(NOON * 1000)
    assert (shown["class_uid"], shown["type_uid"]) == (2004, 200401)
    assert (shown["severity_id"], shown["severity"]) == (3, "Medium")
    assert (shown["status_id"], shown["is_alert"], shown["count"]) == (1, True, 1)
    assert (shown["time"], shown["start_time"], shown["end_time"]) == (
        noon + 400_000,
        noon,
        noon + 300_000,
    )
    assert shown["message"].startswith("[MEDIUM] IAM policy changed: ")
    assert shown["remediation"] == {"desc": "Ask who did it."}
    assert shown["cloud"] == {
        "provider": "AWS",
        "region": "us-east-1",
        "account": {"uid": ACCOUNT, "type_id": 10, "type": "AWS Account"},
    }
    assert shown["metadata"]["uid"] == message_id(Notification(made))
    assert shown["metadata"]["sequence"] == 2
    assert shown["metadata"]["is_truncated"]
    info = shown["finding_info"]
    assert info["title"] == made.title
    assert info["desc"] == made.description
    assert info["analytic"]["uid"] == made.rule_id
    assert info["types"][0] == "cis-aws-foundations v1.2.0 3.4"
    assert info["types"][-1] == "aws-security-hub CloudWatch.4"
    assert info["related_events"] == [{"uid": event_id} for event_id in made.event_ids]
    assert info["first_seen_time"] == info["last_seen_time"] == noon


def test_an_incident_is_one_finding_created_updated_and_closed() -> None:
    first = alert()
    second = changed(id="b" * 32, dedup_key=first.id)
    told: list[tuple[Alert, NotificationKind]] = [
        (first, "raised"),
        (first, "updated"),
        (second, "raised"),
        (second, "resolved"),
    ]
    shown = [finding(made, kind) for made, kind in told]
    assert [item["activity_name"] for item in shown] == ["Create", "Update", "Update", "Close"]
    assert {item["finding_info"]["uid"] for item in shown} == {first.id}
    assert [item["finding_info"]["uid_alt"] for item in shown] == [first.id] * 2 + [second.id] * 2
    assert [item["is_alert"] for item in shown] == [True, False, True, False]
    assert len({item["metadata"]["uid"] for item in shown}) == 4
    assert [("created_time" in item["finding_info"]) for item in shown] == [True, *[False] * 3]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "New"),
        ({"state": "resolved"}, "Resolved"),
        ({"state": "withdrawn"}, "Deleted"),
        ({"suppressed": Suppressed(reason="work", author="bob", end="x")}, "Suppressed"),
    ],
)
def test_the_status_is_the_alerts(fields: dict[str, Any], status: str) -> None:
    assert finding(changed(**fields))["status"] == status


def test_nobody_is_called_for_what_is_staged_or_suppressed() -> None:
    silenced = Suppressed(reason="work", author="bob", end="x")
    assert not finding(changed(suppressed=silenced))["is_alert"]
    staged = finding(changed(status="experimental"))
    assert not staged["is_alert"]
    assert staged["metadata"]["labels"] == ["staged"]
    assert staged["finding_info"]["analytic"]["state"] == "Experimental"


def test_a_test_is_recognised_at_once() -> None:
    shown = finding(changed(test=True))
    assert shown["finding_info"]["title"].startswith("[TEST] ")
    assert shown["metadata"]["labels"] == ["test"]


def test_several_places_are_none_and_still_told() -> None:
    shown = finding(changed(regions=["a", "b"], accounts=["1", "2"]))
    assert shown["cloud"] == {"provider": "AWS"}
    assert shown["unmapped"]["regions"] == ["a", "b"]
    accounts = [item["value"] for item in shown["observables"] if "account" in item["name"]]
    assert accounts == ["1", "2"]


def test_a_digest_is_carried_whole_and_names_its_alerts() -> None:
    entry = DigestEntry(
        rule_id="r",
        title="t",
        level="high",
        raised=2,
        updated=0,
        resolved=1,
        events=7,
        accounts=["1"],
        actors=["alice"],
    )
    digest = Digest(
        notifications=3,
        raised=2,
        updated=0,
        resolved=1,
        events=7,
        entries=[entry],
        alert_ids=["a", "b"],
    )
    made = changed(
        rule_id="detector.digest", counting="own", digest=digest, evidence=[], event_ids=[]
    )
    shown = finding(made)
    assert shown["unmapped"]["digest"] == msgspec.to_builtins(digest)
    assert shown["finding_info"]["related_events"] == [{"uid": "a"}, {"uid": "b"}]
    assert shown["finding_info"]["related_events_count"] == 3
    assert "evidences" not in shown


def test_an_alert_of_the_detectors_own_is_a_finding_without_events() -> None:
    silence = Silence(since=NOON, found=NOON + 3600, limit=1800.0)
    shown = finding(silence_alert(Trail(ACCOUNT, "us-east-1"), silence))
    assert "count" not in shown
    assert shown["finding_info"]["analytic"]["type"] == "Self-monitoring"
    assert shown["finding_info"]["attacks"] == [
        {
            "technique": {"uid": "T1685"},
            "sub_technique": {"uid": "T1685.002"},
            "tactic": {"name": "Defense Impairment", "uid": "TA0112"},
        }
    ]


def test_evidence_says_who_did_what_from_where_to_what() -> None:
    policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    taken = record(
        "AttachUserPolicy",
        userIdentity=ASSUMED,
        requestParameters={"userName": "bob", "policyArn": policy, "dryRun": True},
        requestID="r-1",
        errorCode="AccessDenied",
        errorMessage="no",
    )
    shown = finding(changed(evidence=[taken]))
    (item,) = shown["evidences"]
    assert item["data"] == taken
    assert item["api"] == {
        "operation": "AttachUserPolicy",
        "service": {"name": "iam.amazonaws.com"},
        "request": {"uid": "r-1"},
        "response": {"error": "AccessDenied", "error_message": "no"},
    }
    assert item["actor"]["user"] == {
        "name": "alice@example.com",
        "uid": ROLE,
        "uid_alt": "AROAEXAMPLE:alice@example.com",
        "account": {"uid": ACCOUNT, "type_id": 10, "type": "AWS Account"},
        "type_id": 99,
        "type": "AssumedRole",
    }
    assert item["actor"]["session"] == {
        "uid": "alice",
        "uid_alt": ROLE,
        "issuer": f"arn:aws:iam::{ACCOUNT}:role/Admin",
        "credential_uid": "ASIAEXAMPLE",
        "created_time": round((NOON - 3600) * 1000),
        "is_mfa": True,
    }
    assert item["src_endpoint"] == {"ip": "203.0.113.7"}
    named = [(resource.get("uid") or resource["name"]) for resource in item["resources"]]
    assert named == ["bob", policy]
    assert shown["resources"] == item["resources"]
    assert {"name": "resources.uid", "type_id": 10, "type": "Resource UID", "value": policy} in (
        shown["observables"]
    )


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("203.0.113.7", {"ip": "203.0.113.7"}),
        ("2001:DB8:0::1", {"ip": "2001:db8::1"}),
        ("fe80::1%eth0", {"domain": "fe80::1%eth0"}),
        ("cloudformation.amazonaws.com", {"domain": "cloudformation.amazonaws.com"}),
        ("", None),
    ],
)
def test_a_call_comes_from_an_address_or_a_service(source: str, shown: object) -> None:
    assert endpoint(source) == shown


def test_resources_that_a_record_lists_come_first_and_each_once() -> None:
    arn = "arn:aws:s3:::logs"
    parameters = {"bucketName": "logs", "Host": "h", "vpcId": "vpc-1", "keyArn": arn, "n": 1}
    listed = [{"ARN": arn, "type": "AWS::S3::Bucket"}, {"type": "x"}, "odd"]
    found = resources_of(record(resources=listed, requestParameters=parameters))
    assert [item.get("uid") or item["name"] for item in found] == [arn, "logs", "vpc-1"]


def test_a_record_without_anything_known_is_still_evidence() -> None:
    assert evidence_of({"odd": 1}) == {"data": {"odd": 1}}
    assert finding(changed(evidence=[{}, {"userIdentity": 7, "eventName": []}]))


def test_tags_become_techniques_and_tactics() -> None:
    assert attacks_of(["attack.t1098.003", "attack.persistence", "cve.2026.1"]) == [
        {
            "technique": {"uid": "T1098"},
            "sub_technique": {"uid": "T1098.003"},
            "tactic": {"name": "Persistence", "uid": "TA0003"},
        }
    ]
    assert attacks_of(["attack.t1098", "attack.command_and_control", "attack.impact"]) == [
        {"technique": {"uid": "T1098"}},
        {"tactic": {"name": "Command and Control", "uid": "TA0011"}},
        {"tactic": {"name": "Impact", "uid": "TA0040"}},
    ]
    assert attacks_of(["attack.s0001", "other"]) == []
