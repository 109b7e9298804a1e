"""What was done, in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.alerts.outcome import outcome_of, result_of
from detector.alerts.policies import policy_in_words
from detector.alerts.what import MAX_CHANGE_CHARACTERS, change_of
from tests.records import record


def said(event: str, parameters: Any, service: str = "iam", **fields: Any) -> str:
    made = record(
        event, eventSource=f"{service}.amazonaws.com", requestParameters=parameters, **fields
    )
    return change_of(made).text


def policy(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}


ALL = json.dumps(policy(Action="*", Resource="*"))
SG = "sg-0123456789abcdef0"
RULE = {
    "ipProtocol": "tcp",
    "fromPort": 22,
    "toPort": 22,
    "groups": {},
    "ipRanges": {"items": [{"cidrIp": "10.0.0.0/8"}, {"cidrIp": "0.0.0.0/0"}]},
}


@pytest.mark.parametrize(
    ("event", "service", "parameters", "words"),
    [
        (
            "PutUserPolicy",
            "iam",
            {"userName": "bob", "policyName": "p", "policyDocument": ALL},
            "PutUserPolicy on user bob (policy p: allows * on *)",
        ),
        (
            "AttachUserPolicy",
            "iam",
            {"userName": "bob", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
            "AttachUserPolicy on user bob (policy AdministratorAccess)",
        ),
        (
            "AddUserToGroup",
            "iam",
            {"userName": "bob", "groupName": "admins"},
            "AddUserToGroup on user bob, group admins",
        ),
        (
            "UpdateAccessKey",
            "iam",
            {"userName": "bob", "accessKeyId": "AKIAX", "status": "Inactive"},
            "UpdateAccessKey on user bob (access key AKIAX, status Inactive)",
        ),
        (
            "UpdateAssumeRolePolicy",
            "iam",
            {
                "roleName": "r",
                "policyDocument": json.dumps(
                    policy(Action="sts:AssumeRole", Principal={"AWS": "*"})
                ),
            },
            "UpdateAssumeRolePolicy on role r (allows sts:AssumeRole to everyone)",
        ),
        (
            "PutBucketPolicy",
            "s3",
            {
                "bucketName": "b",
                "bucketPolicy": policy(Action="s3:GetObject", Principal="*", Resource="x"),
            },
            "PutBucketPolicy on bucket b (allows s3:GetObject to everyone)",
        ),
        (
            "DeleteBucketPublicAccessBlock",
            "s3",
            {"bucketName": "b", "publicAccessBlock": "", "Host": "b.s3.amazonaws.com"},
            "DeleteBucketPublicAccessBlock on bucket b",
        ),
        (
            "AuthorizeSecurityGroupIngress",
            "ec2",
            {"groupId": SG, "ipPermissions": {"items": [RULE]}},
            f"AuthorizeSecurityGroupIngress on security group {SG} "
            "(tcp 22 from 0.0.0.0/0, 10.0.0.0/8)",
        ),
        (
            "RevokeSecurityGroupEgress",
            "ec2",
            {"groupId": SG, "ipPermissions": {}, "ipProtocol": "-1", "cidrIp": "::/0"},
            f"RevokeSecurityGroupEgress on security group {SG} (all traffic to ::/0)",
        ),
        (
            "ModifySecurityGroupRules",
            "ec2",
            {
                "ModifySecurityGroupRulesRequest": {
                    "GroupId": SG,
                    "SecurityGroupRule": {
                        "SecurityGroupRuleId": "sgr-0123456789abcdef0",
                        "SecurityGroupRule": {
                            "IpProtocol": "tcp",
                            "FromPort": 0,
                            "ToPort": 65535,
                            "CidrIpv4": "0.0.0.0/0",
                        },
                    },
                }
            },
            f"ModifySecurityGroupRules on security group {SG} (tcp all ports from 0.0.0.0/0)",
        ),
        (
            "CreateNetworkAclEntry",
            "ec2",
            {
                "networkAclId": "acl-5fb85d36",
                "egress": False,
                "ruleNumber": 100,
                "ruleAction": "allow",
                "aclProtocol": "17",
                "cidrBlock": "0.0.0.0/0",
                "portRange": {"from": 53, "to": 53},
            },
            "CreateNetworkAclEntry on network ACL acl-5fb85d36 "
            "(ingress rule 100: allow udp 53 from 0.0.0.0/0)",
        ),
        (
            "CreateRoute",
            "ec2",
            {
                "routeTableId": "rtb-06711e8f3a624506d",
                "destinationCidrBlock": "0.0.0.0/0",
                "gatewayId": "igw-040b2274c4a167722",
            },
            "CreateRoute on route table rtb-06711e8f3a624506d (0.0.0.0/0 to igw-040b2274c4a167722)",
        ),
        (
            "AttachInternetGateway",
            "ec2",
            {"internetGatewayId": "igw-040b2274c4a167722", "vpcId": "vpc-0fa94f40db415f317"},
            "AttachInternetGateway on internet gateway igw-040b2274c4a167722 "
            "(VPC vpc-0fa94f40db415f317)",
        ),
        (
            "ScheduleKeyDeletion",
            "kms",
            {"keyId": "1234", "pendingWindowInDays": 7},
            "ScheduleKeyDeletion on KMS key 1234 (deleted in 7 days)",
        ),
        ("StopLogging", "cloudtrail", {"name": "main"}, "StopLogging on trail main"),
        (
            "UpdateTrail",
            "cloudtrail",
            {"name": "main", "isMultiRegionTrail": False},
            "UpdateTrail on trail main (isMultiRegionTrail false)",
        ),
        (
            "StopConfigurationRecorder",
            "config",
            {"configurationRecorderName": "default"},
            "StopConfigurationRecorder on configuration recorder default",
        ),
        (
            "DetachPolicy",
            "organizations",
            {"policyId": "p-1", "targetId": "r-ab12"},
            "DetachPolicy on policy p-1, root r-ab12",
        ),
        (
            "TagRole",
            "iam",
            {"roleName": "r", "tags": [{"key": "team", "value": "ops"}]},
            "TagRole on role r (tag team=ops)",
        ),
        ("LeaveOrganization", "organizations", None, "LeaveOrganization in organizations"),
    ],
)
def test_a_change_is_told_with_what_decides_how_bad_it_is(
    event: str, service: str, parameters: Any, words: str
) -> None:
    assert said(event, parameters, service) == words


def test_the_message_of_a_denied_request_has_what_its_parameters_do_not() -> None:
    message = (
        "User: arn:aws:iam::1:user/eve is not authorized to perform: iam:AttachUserPolicy"
        " on resource: user eve because no identity-based policy allows the iam:AttachUserPolicy"
    )
    text = said("AttachUserPolicy", None, errorCode="AccessDenied", errorMessage=message)
    assert text == "AttachUserPolicy on user eve"
    message = "not authorized to perform: x on resource: arn:aws:iam::111122223333:role/a/r"
    text = said("PutRolePolicy", None, errorCode="AccessDenied", errorMessage=message)
    assert text == "PutRolePolicy on role r"


def test_a_sign_in_says_whose_it_is_and_how_it_ended() -> None:
    made = record(
        "ConsoleLogin",
        eventSource="signin.amazonaws.com",
        requestParameters=None,
        responseElements={"ConsoleLogin": "Failure"},
        additionalEventData={"MFAUsed": "No"},
        errorMessage="Failed authentication",
    )
    change = change_of(made)
    assert change.text == "ConsoleLogin of alice (no MFA)"
    assert change.outcome.word == "failed: Failed authentication"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, ""),
        ({"errorCode": "AccessDenied"}, "denied"),
        ({"errorCode": "Client.UnauthorizedOperation"}, "denied"),
        ({"errorCode": "NoSuchEntityException"}, "failed: NoSuchEntityException"),
        ({"errorCode": 5, "errorMessage": []}, ""),
    ],
)
def test_how_a_request_ended(fields: dict[str, Any], word: str) -> None:
    assert outcome_of(record(**fields)).word == word


def test_the_endings_of_several_requests_are_counted() -> None:
    denied = outcome_of(record(errorCode="AccessDenied", errorMessage="no"))
    missing = outcome_of(record(errorCode="NoSuchEntity"))
    done = outcome_of(record())
    assert result_of([]) == ""
    assert result_of([done, done]) == "succeeded"
    assert result_of([denied, denied]) == "denied: AccessDenied (2): no"
    assert result_of([done, denied, missing]) == (
        "1 succeeded, 2 failed: AccessDenied, NoSuchEntity: no"
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (policy(NotAction="iam:*", Resource="*"), "allows all but iam:* on *"),
        (
            policy(Action=["a:B", "a:C"], Resource="*", Condition={"x": 1}),
            "allows a:B, a:C on * on",
        ),
        (
            {"Statement": {"Effect": "Deny", "Action": "s3:*", "Principal": "*"}},
            "denies s3:* to ev",
        ),
        ("{", ""),
        ("[" * 100_000, ""),
        ({"Statement": "x"}, ""),
        ([1], ""),
        (None, ""),
    ],
)
def test_a_policy_in_a_few_words(document: Any, words: str) -> None:
    assert policy_in_words(document).startswith(words)


def test_what_gives_everything_comes_first_and_the_rest_is_counted() -> None:
    narrow = [{"Effect": "Allow", "Action": f"s3:Get{n}", "Resource": "x"} for n in range(4)]
    wide = {"Effect": "Allow", "Action": ["s3:x", "iam:*"], "Resource": "*"}
    words = policy_in_words({"Statement": [*narrow, wide]})
    assert words.startswith("allows s3:x, iam:* on *; ")
    assert words.endswith(" and 2 more")


def test_a_change_is_bounded() -> None:
    text = said("PutUserPolicy", {"userName": "x" * 10_000, "policyName": "y" * 10_000, "a": "z"})
    assert len(text) <= MAX_CHANGE_CHARACTERS
