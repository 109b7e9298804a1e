"""The catalogue of event names: what is in it, and what it suggests."""

import botocore
import pytest

from detector.rules.event_names import is_known_source, names_of, nearest, sources_of
from tests.make_event_names import DATA, OTHER_EVENTS, recorded_version, render


def source(name: str) -> str:
    return f"{name}.amazonaws.com"


def test_the_data_file_is_what_the_installed_botocore_makes() -> None:
    text = DATA.read_text(encoding="ascii")
    if recorded_version(text) == botocore.__version__:
        assert text == render(), "run: python -m tests.make_event_names"


@pytest.mark.parametrize("service", OTHER_EVENTS)
def test_events_that_are_no_operations_are_in_the_data_file(service: str) -> None:
    assert names_of(source(service)) >= set(OTHER_EVENTS[service].split())


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("acm-pca", "IssueCertificate"),
        ("agreement-marketplace", "AcceptAgreementRequest"),
        ("amazonmq", "CreateBroker"),
        ("apigateway", "CreateRestApi"),
        ("apigateway", "CreateRoute"),
        ("bedrock", "InvokeModel"),
        ("cloudcontrolapi", "CreateResource"),
        ("cloudfront", "CreateDistribution2020_05_31"),
        ("cloudfront", "UpdateDistribution"),
        ("cloudtrail", "StopLogging"),
        ("ec2", "RunInstances"),
        ("ec2", "SharedSnapshotVolumeCreated"),
        ("ecr", "PutImage"),
        ("elasticloadbalancing", "CreateTargetGroup"),
        ("elasticloadbalancing", "RegisterInstancesWithLoadBalancer"),
        ("es", "CreateElasticsearchDomain"),
        ("iam", "PutUserPolicy"),
        ("kms", "RotateKey"),
        ("kms", "ScheduleKeyDeletion"),
        ("lambda", "CreateFunction20150331"),
        ("lambda", "CreateFunctionUrlConfig"),
        ("lambda", "Invoke"),
        ("lambda", "PublishLayerVersion20181031"),
        ("lambda", "UpdateFunctionCode20150331v2"),
        ("monitoring", "DeleteAlarms"),
        ("organizations", "LeaveOrganization"),
        ("rds", "ModifyDBInstance"),
        ("route53", "ChangeResourceRecordSets"),
        ("s3", "CreateAccessPoint"),
        ("s3", "GetBucketVersioning"),
        ("s3", "PutAccountPublicAccessBlock"),
        ("s3", "PutBucketLifecycle"),
        ("s3", "PutBucketPolicy"),
        ("s3", "PutBucketPublicAccessBlock"),
        ("ses", "SendEmail"),
        ("signin", "ConsoleLogin"),
        ("sso", "CreatePermissionSet"),
        ("sso", "CreateToken"),
        ("sso-directory", "CreateUser"),
        ("states", "CreateStateMachine"),
        ("tagging", "TagResources"),
        ("wafv2", "DeleteWebACL"),
    ],
)
def test_a_name_that_aws_documents_is_known_with_its_source(service: str, name: str) -> None:
    assert name in names_of(source(service))
    assert source(service) in sources_of(name)


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("lambda", "CreateFunction"),
        ("s3", "PutBucketLifecycleConfiguration"),
        ("s3", "PutPublicAccessBlock"),
        ("route53", "TransferDomainToAnotherAwsAccount"),
    ],
)
def test_an_operation_that_is_logged_otherwise_is_not_known(service: str, name: str) -> None:
    assert name not in names_of(source(service))


@pytest.mark.parametrize(
    "name", ["cloudwatch", "email", "execute-api", "mq", "s3-control", "streams.dynamodb"]
)
def test_an_endpoint_that_is_no_event_source_is_unknown(name: str) -> None:
    assert not is_known_source(source(name))
    assert names_of(source(name)) == frozenset()


def test_a_source_is_known_by_its_whole_name() -> None:
    assert is_known_source("iam.amazonaws.com")
    assert not is_known_source("iam")
    assert not is_known_source("")


@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("CreateRoute", {"apigateway", "appmesh", "ec2"}),
        ("CreateSecurityGroup", {"ec2", "wickr"}),
        ("DeletePolicy", {"iam", "iot", "organizations"}),
    ],
)
def test_a_name_that_services_share_has_several_sources(name: str, services: set[str]) -> None:
    assert sources_of(name) >= {source(service) for service in services}


def test_a_name_of_one_service_has_one_source() -> None:
    assert sources_of("PutUserPolicy") == {"iam.amazonaws.com"}
    assert sources_of("PutUserPolcy") == frozenset()


@pytest.mark.parametrize(
    ("written", "service", "meant"),
    [
        ("PutUserPolcy", None, "PutUserPolicy"),
        ("StopLoging", None, "StopLogging"),
        ("consolelogin", None, "ConsoleLogin"),
        ("DeleteTrails", "cloudtrail", "DeleteTrail"),
        ("AuthorizeCacheSecurityGroupEgress", "elasticache", "AuthorizeCacheSecurityGroupIngress"),
        ("PutUserPolcy", "unheard-of", "PutUserPolicy"),
    ],
)
def test_a_misspelling_suggests_the_right_name(
    written: str, service: str | None, meant: str
) -> None:
    assert nearest(written, service and source(service)) == meant


@pytest.mark.parametrize(
    ("operation", "service", "logged"),
    [
        ("PutBucketLifecycleConfiguration", "s3", "PutBucketLifecycle"),
        ("PutBucketLifecycleConfiguration", None, "PutBucketLifecycle"),
        ("PutPublicAccessBlock", "s3", "PutBucketPublicAccessBlock"),
        ("CreateFunction", "lambda", "CreateFunction20150331"),
        ("UpdateFunctionCode", None, "UpdateFunctionCode20150331v2"),
    ],
)
def test_an_operation_suggests_the_name_it_is_logged_by(
    operation: str, service: str | None, logged: str
) -> None:
    assert nearest(operation, service and source(service)) == logged


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("PutUserPolicy", None),
        ("PutUserPolicy", "iam"),
        ("CreateFunction", None),  # a name of appsync
        ("DisableDomainTransferLock", "route53"),  # a name of route53domains
        ("NothingLikeIt", None),
        ("", None),
    ],
)
def test_there_is_no_suggestion_for_a_known_name_or_an_unlike_one(
    name: str, service: str | None
) -> None:
    assert nearest(name, service and source(service)) is None
