"""A seeded set of CloudTrail log files, in the proportions of a real account's.

Measured on 2,900 real records: 1,261 bytes and 28 values each in the mean, objects nested 2 to 8
deep, 1 to 394 records in a file with a mean of 53, nine of a thousand a change to an IAM policy,
one in ten with an error, one in five of these a denial. The generator is held to these figures by a
test.
"""

from __future__ import annotations

import gzip
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

START = datetime(2026, 9, 16, 0, 0, tzinfo=UTC)
ACCOUNTS = ("111122223333", "444455556666", "777788889999")
REGIONS = ("us-east-1", "us-east-1", "us-east-1", "us-west-2", "eu-central-1")

IAM_CHANGES_PER_THOUSAND = 9
ERRORS_PER_THOUSAND = 100

Record = dict[str, Any]
_Details = tuple[Record | None, Record | None, Record]


@dataclass(frozen=True, slots=True)
class LogSet:
    """Where a set was written, and what is in it."""

    folder: Path
    files: int
    records: int
    document_bytes: int
    """Of the documents, before compression."""


def write_log_set(folder: Path, records: int, seed: int = 1) -> LogSet:
    """Write log files with about this many records, compressed as CloudTrail does."""
    folder.mkdir(parents=True, exist_ok=True)
    files = written = size = 0
    for name, batch in log_files(records, seed):
        document = msgspec.json.encode({"Records": batch})
        (folder / name).write_bytes(gzip.compress(document, compresslevel=6, mtime=0))
        files += 1
        written += len(batch)
        size += len(document)
    return LogSet(folder, files, written, size)


def log_files(records: int, seed: int = 1) -> Iterator[tuple[str, list[Record]]]:
    """Yield names and records of log files until there are this many records."""
    chance = random.Random(seed)
    moment = START
    left = records
    while left > 0:
        count = min(left, 1 + min(int(chance.lognormvariate(3.0, 1.4)), 393))
        left -= count
        moment += timedelta(seconds=chance.randint(5, 90))
        account, region = chance.choice(ACCOUNTS), chance.choice(REGIONS)
        batch = [_record(chance, moment, account, region) for _ in range(count)]
        delivered = moment + timedelta(seconds=chance.randint(60, 600))
        mark = "".join(chance.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", k=16))
        yield f"{account}_CloudTrail_{region}_{delivered:%Y%m%dT%H%M}Z_{mark}.json.gz", batch


def _record(chance: random.Random, moment: datetime, account: str, region: str) -> Record:
    if chance.random() * 1000 < IAM_CHANGES_PER_THOUSAND:
        source, name, read_only, details = _iam_change(chance, account)
    else:
        source, names, read_only, make = chance.choices(_KINDS, _WEIGHTS)[0]
        name = chance.choice(names)
        details = make(chance, account)
    request, response, more = details
    record: Record = {
        "eventVersion": "1.11",
        "userIdentity": _identity(chance, moment, account),
        "eventTime": f"{moment - timedelta(seconds=chance.randint(0, 280)):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": f"198.51.{chance.randint(0, 255)}.{chance.randint(1, 254)}",
        "userAgent": chance.choice(_AGENTS),
        "requestParameters": request,
        "responseElements": response,
        **more,
        "requestID": _uuid(chance),
        "eventID": _uuid(chance),
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{source}.{region}.amazonaws.com",
        },
    }
    if chance.random() * 1000 < ERRORS_PER_THOUSAND:
        code = chance.choices(_ERROR_CODES, _ERROR_WEIGHTS)[0]
        record["errorCode"] = code
        record["errorMessage"] = (
            f"User: {record['userIdentity'].get('arn')} is not authorized to perform:"
            f" {source}:{name} because no identity-based policy allows the action"
            if code in _DENIALS
            else f"The request for {name} cannot be fulfilled: {code}"
        )
        record["responseElements"] = None
    return record


def _identity(chance: random.Random, moment: datetime, account: str) -> Record:
    user = chance.choice(("benjamin", "deploy", "auditor", "terraform", "mallory"))
    if chance.random() < 0.03:
        return {"type": "AWSService", "invokedBy": "config.amazonaws.com"}
    if chance.random() < 0.9:
        return {
            "type": "IAMUser",
            "principalId": _key(chance, "AIDA"),
            "arn": f"arn:aws:iam::{account}:user/{user}",
            "accountId": account,
            "accessKeyId": _key(chance, "AKIA"),
            "userName": user,
        }
    role_id = _key(chance, "AROA")
    return {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{user}",
        "arn": f"arn:aws:sts::{account}:assumed-role/platform/{user}",
        "accountId": account,
        "accessKeyId": _key(chance, "ASIA"),
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:aws:iam::{account}:role/platform",
                "accountId": account,
                "userName": "platform",
            },
            "webIdFederationData": {},
            "attributes": {
                "creationDate": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                "mfaAuthenticated": "false",
            },
        },
    }


def _iam_change(chance: random.Random, account: str) -> tuple[str, str, bool, _Details]:
    name = chance.choice(("PutRolePolicy", "AttachUserPolicy", "CreatePolicyVersion"))
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*"}]}
    parameters = {"policyDocument": msgspec.json.encode(document).decode(), "policyName": "p"}
    return "iam", name, False, ({**parameters, "roleName": f"role-{account}"}, None, {})


def _plain(chance: random.Random, _: str) -> _Details:
    name = f"/platform/production/{_hex(chance, 180)}"
    return {"maxResults": 100, "withDecryption": False, "name": name}, None, {}


def _filtered(chance: random.Random, _: str) -> _Details:
    values = [{"value": f"vpc-{_hex(chance, 17)}"} for _ in range(chance.randint(1, 5))]
    ids = [{"name": "vpc-id", "valueSet": {"items": values}}]
    return {"filterSet": {"items": ids}, "routeTableIdSet": {}}, None, {}


def _bucket(chance: random.Random, account: str) -> _Details:
    bucket = f"config-bucket-{account}"
    more: Record = {
        "additionalEventData": {
            "SignatureVersion": "SigV4",
            "CipherSuite": "ECDHE-RSA-AES128-GCM-SHA256",
            "bytesTransferredIn": 0,
            "AuthenticationMethod": "AuthHeader",
            "x-amz-id-2": _hex(chance, 76),
            "bytesTransferredOut": chance.randint(0, 9999),
        },
        "resources": [
            {"accountId": account, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}
        ],
    }
    return {"bucketName": bucket, "Host": f"{bucket}.s3.amazonaws.com", "acl": ""}, None, more


def _key_use(chance: random.Random, account: str) -> _Details:
    key = f"arn:aws:kms:us-east-1:{account}:key/{_uuid(chance)}"
    more = {"resources": [{"accountId": account, "type": "AWS::KMS::Key", "ARN": key}]}
    context = {"PARAMETER_ARN": f"arn:aws:ssm:us-east-1:{account}:parameter/{_hex(chance, 12)}"}
    return {"encryptionContext": context, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}, None, more


def _session(chance: random.Random, account: str) -> _Details:
    role = f"arn:aws:iam::{account}:role/service"
    response = {
        "credentials": {
            "accessKeyId": _key(chance, "ASIA"),
            "sessionToken": _hex(chance, 900),
            "expiration": "Sep 16, 2026, 1:00:00 PM",
        },
        "assumedRoleUser": {"assumedRoleId": _key(chance, "AROA") + ":x", "arn": f"{role}/x"},
    }
    return {"roleArn": role, "roleSessionName": "x", "durationSeconds": 3600}, response, {}


def _instance(chance: random.Random, account: str) -> _Details:
    interface = {
        "networkInterfaceId": f"eni-{_hex(chance, 17)}",
        "subnetId": f"subnet-{_hex(chance, 17)}",
        "privateIpAddressesSet": {
            "item": [{"privateIpAddress": "10.0.0.7", "primary": True}],
        },
        "groupSet": {"items": [{"groupId": f"sg-{_hex(chance, 17)}", "groupName": "default"}]},
        "tagSet": {},
    }
    instance = {
        "instanceId": f"i-{_hex(chance, 17)}",
        "imageId": f"ami-{_hex(chance, 17)}",
        "instanceState": {"code": 0, "name": "pending"},
        "networkInterfaceSet": {"items": [interface]},
        "ownerId": account,
        "capacityReservationSpecification": {"capacityReservationPreference": "open"},
    }
    request = {"instancesSet": {"items": [{"minCount": 1, "maxCount": 1}]}, "instanceType": "t3"}
    return request, {"instancesSet": {"items": [instance]}}, {}


_KINDS: tuple[tuple[str, tuple[str, ...], bool, Callable[[random.Random, str], _Details]], ...] = (
    ("ec2", ("DescribeRouteTables", "DescribeVpcs", "DescribeSubnets"), True, _filtered),
    ("ec2", ("DescribeNatGateways", "DescribeVpcAttribute", "GetPasswordData"), True, _plain),
    ("ssm", ("GetParameter", "PutParameter", "DescribeParameters"), True, _plain),
    ("iam", ("GetUser", "GetRole", "ListRolePolicies", "ListAttachedRolePolicies"), True, _plain),
    ("s3", ("GetBucketAcl", "GetBucketPolicy", "ListBuckets"), True, _bucket),
    ("kms", ("Decrypt", "Encrypt", "GenerateDataKey"), True, _key_use),
    ("secretsmanager", ("GetSecretValue", "DescribeSecret"), True, _plain),
    ("rds", ("DescribeDBInstances", "DescribeDBEngineVersions"), True, _plain),
    ("sts", ("AssumeRole",), True, _session),
    ("ec2", ("RunInstances", "ModifyInstanceAttribute"), False, _instance),
)
_WEIGHTS = (45, 45, 49, 37, 27, 24, 23, 20, 7, 9)

_DENIALS = ("Client.UnauthorizedOperation", "AccessDenied")
_ERROR_CODES = (
    *_DENIALS,
    "ThrottlingException",
    "NoSuchBucketPolicy",
    "Client.InvalidRouteTableID.NotFound",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchEntityException",
    "ResourceNotFoundException",
)
_ERROR_WEIGHTS = (44, 16, 102, 34, 26, 32, 24, 22)

_AGENTS = (
    "[Boto3/1.26.165 Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.165]",
    "APN/1.0 HashiCorp/1.0 Terraform/1.5.2 (+https://www.terraform.io) aws-sdk-go/1.44.298",
    "aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/python#3.13.7",
    "config.amazonaws.com",
)


def _hex(chance: random.Random, length: int) -> str:
    return f"{chance.getrandbits(length * 4):0{length}x}"


def _key(chance: random.Random, prefix: str) -> str:
    return prefix + "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=17))


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
