"""The resources of a finding: what the evidence names, and an account where it names nothing.

Source: AWS Security Hub API Reference, "Resource", "ResourceDetails" (whose members are the types
that it knows; the rest is `Other`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from detector.alerts.alert import Alert
from detector.alerts.plain import plain
from detector.alerts.resources import MAX_RESOURCES, Resource, partition_of, resources

if TYPE_CHECKING:
    from types_aiobotocore_securityhub.literals import PartitionType
    from types_aiobotocore_securityhub.type_defs import ResourceTypeDef

MAX_REGION_CHARACTERS = 16
MAX_RESOURCE_ID_CHARACTERS = 1_024
"""An ARN has less; what is longer was made up by whoever called AWS."""

KNOWN_TYPES = (
    "AwsCloudTrailTrail",
    "AwsDynamoDbTable",
    "AwsEc2Eip",
    "AwsEc2Instance",
    "AwsEc2NetworkAcl",
    "AwsEc2NetworkInterface",
    "AwsEc2RouteTable",
    "AwsEc2SecurityGroup",
    "AwsEc2Subnet",
    "AwsEc2TransitGateway",
    "AwsEc2Volume",
    "AwsEc2Vpc",
    "AwsEc2VpcEndpointService",
    "AwsEc2VpcPeeringConnection",
    "AwsEcsCluster",
    "AwsEcsService",
    "AwsEksCluster",
    "AwsGuardDutyDetector",
    "AwsIamAccessKey",
    "AwsIamGroup",
    "AwsIamPolicy",
    "AwsIamRole",
    "AwsIamUser",
    "AwsKmsKey",
    "AwsLambdaFunction",
    "AwsRdsDbCluster",
    "AwsRdsDbInstance",
    "AwsRdsDbSnapshot",
    "AwsS3AccessPoint",
    "AwsS3Bucket",
    "AwsS3Object",
    "AwsSecretsManagerSecret",
    "AwsSnsTopic",
    "AwsSqsQueue",
)
_BY_NAME = {name.lower(): name for name in KNOWN_TYPES}
_OTHER = "Other"
_ACCOUNT = re.compile(r"[0-9]{12}")


def resources_of(alert: Alert, account: str, region: str) -> list[ResourceTypeDef]:
    """Return a finding's resources, one at least; `account` and `region` are the finding's."""
    found: list[ResourceTypeDef] = []
    for resource in resources(alert):
        made = _resource(resource, region)
        if made is not None and made not in found:
            found.append(made)
    partition: PartitionType = partition_of(region)  # type: ignore[assignment]
    accounts = [name for name in alert.accounts if _ACCOUNT.fullmatch(name)]
    named: list[ResourceTypeDef] = [
        {"Type": "AwsAccount", "Id": f"AWS::::Account:{name}", "Partition": partition}
        for name in accounts or [account]
    ]
    return (found or named)[:MAX_RESOURCES]


def type_of(type_: str) -> str:
    """Return the finding format's word for a type of AWS Config's."""
    return _BY_NAME.get(type_.replace("::", "").lower(), _OTHER)


def _resource(resource: Resource, region: str) -> ResourceTypeDef | None:
    id_ = plain(resource.arn or resource.name, MAX_RESOURCE_ID_CHARACTERS)
    if not id_:
        return None
    partition: PartitionType = partition_of(region)  # type: ignore[assignment]
    made: ResourceTypeDef = {"Type": type_of(resource.type), "Id": id_, "Partition": partition}
    if 0 < len(resource.region) <= MAX_REGION_CHARACTERS:
        made["Region"] = resource.region
    return made
