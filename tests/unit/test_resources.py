"""The resources that records name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.resources import MAX_RESOURCES, Resource, resources, resources_of
from tests.alerts import alert
from tests.records import ACCOUNT, record

Named = list[tuple[str, str, str]]


def named(service: str, parameters: Any, event: str = "X", **fields: Any) -> Named:
    made = record(
        event, eventSource=f"{service}.amazonaws.com", requestParameters=parameters, **fields
    )
    return [(item.type, item.name, item.arn) for item in resources_of(made)]


IAM = f"arn:aws:iam::{ACCOUNT}"
EC2 = f"arn:aws:ec2:us-east-1:{ACCOUNT}"


@pytest.mark.parametrize(
    ("service", "parameters", "expected"),
    [
        ("iam", {"userName": "bob"}, [("AWS::IAM::User", "bob", f"{IAM}:user/bob")]),
        (
            "iam",
            {"policyArn": "arn:aws:iam::aws:policy/job-function/Billing", "roleName": "r"},
            [
                ("AWS::IAM::Role", "r", f"{IAM}:role/r"),
                ("AWS::IAM::Policy", "Billing", "arn:aws:iam::aws:policy/job-function/Billing"),
            ],
        ),
        ("s3", {"bucketName": "b"}, [("AWS::S3::Bucket", "b", "arn:aws:s3:::b")]),
        (
            "ec2",
            {"groupId": "sg-0123456789abcdef0", "vpcId": "vpc-01234567"},
            [
                (
                    "AWS::EC2::SecurityGroup",
                    "sg-0123456789abcdef0",
                    f"{EC2}:security-group/sg-0123456789abcdef0",
                ),
                ("AWS::EC2::VPC", "vpc-01234567", f"{EC2}:vpc/vpc-01234567"),
            ],
        ),
        (
            "ec2",
            {"DeleteNatGatewayRequest": {"NatGatewayId": "nat-0dd264ee104155137"}},
            [
                (
                    "AWS::EC2::NatGateway",
                    "nat-0dd264ee104155137",
                    f"{EC2}:natgateway/nat-0dd264ee104155137",
                )
            ],
        ),
        (
            "kms",
            {"keyId": "alias/payments"},
            [
                (
                    "AWS::KMS::Alias",
                    "alias/payments",
                    f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/payments",
                )
            ],
        ),
        (
            "cloudtrail",
            {"name": "main"},
            [
                (
                    "AWS::CloudTrail::Trail",
                    "main",
                    f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main",
                )
            ],
        ),
        (
            "config",
            {"configurationRecorder": {"name": "default", "roleARN": 1}},
            [("AWS::Config::ConfigurationRecorder", "default", "")],
        ),
        (
            "organizations",
            {"policyId": "p-1", "targetId": "ou-ab12-cd34"},
            [
                ("AWS::Organizations::Policy", "p-1", ""),
                ("AWS::Organizations::OrganizationalUnit", "ou-ab12-cd34", ""),
            ],
        ),
        ("iam", None, []),
        ("iam", ["userName"], []),
        ("iam", {"userName": {"a": 1}, "roleName": None, "groupName": "\u202e\n"}, []),
    ],
)
def test_what_a_request_names_is_found(service: str, parameters: Any, expected: Named) -> None:
    assert named(service, parameters) == expected


def test_what_was_made_is_in_the_answer() -> None:
    found = named(
        "ec2",
        {"vpcId": "vpc-01234567"},
        "CreateSecurityGroup",
        responseElements={"groupId": "sg-01234567"},
    )
    assert [name for _, name, _ in found] == ["sg-01234567", "vpc-01234567"]
    key = {"accessKey": {"accessKeyId": "AKIAX", "userName": "bob", "status": "Active"}}
    found = named("iam", None, "CreateAccessKey", responseElements=key)
    assert [name for _, name, _ in found] == ["bob", "AKIAX"]


def test_an_arn_of_the_answer_is_better_than_one_that_is_made_up() -> None:
    arn = f"{IAM}:role/service-role/r"
    answer = {"role": {"arn": arn, "roleName": "r"}}
    assert named("iam", {"roleName": "r"}, responseElements=answer) == [
        ("AWS::IAM::Role", "r", arn)
    ]


def test_cloudtrails_own_list_is_used_with_its_types() -> None:
    listed = [{"ARN": "arn:aws:ses:us-east-1:1:identity/x", "type": "AWS::SES::EmailIdentity"}]
    found = named("ses", None, resources=listed)
    assert found == [("AWS::SES::EmailIdentity", "identity/x", listed[0]["ARN"])]


def test_other_partitions_have_arns_of_their_own() -> None:
    found = named("iam", {"userName": "bob"}, awsRegion="cn-north-1")
    assert found[0][2] == f"arn:aws-cn:iam::{ACCOUNT}:user/bob"
    assert resources_of(record())[0] == Resource(
        "AWS::IAM::User", "bob", f"{IAM}:user/bob", ACCOUNT, ""
    )


def test_the_resources_of_an_alert_are_there_once_each_and_bounded() -> None:
    assert [item.name for item in resources(alert(names=5))] == ["bob"]
    ids = {"items": [{"groupId": f"sg-{number:08x}"} for number in range(100)]}
    many = record(eventSource="ec2.amazonaws.com", requestParameters={"a": ids})
    made = msgspec.structs.replace(alert(), evidence=[many])
    assert len(resources(made)) == MAX_RESOURCES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(["iam", "ec2", "s3", "sso", "organizations", "kms", ""]),
    st.dictionaries(
        st.sampled_from(["userName", "policyArn", "member", "keyId"]) | st.text(), JSON
    ),
    JSON,
    JSON,
)
def test_no_record_is_too_strange(service: str, asked: Any, answered: Any, listed: Any) -> None:
    made = record(
        eventSource=service, requestParameters=asked, responseElements=answered, resources=listed
    )
    for item in resources_of(made):
        assert item.name
        assert item.name.isprintable() or not item.name.isascii()
