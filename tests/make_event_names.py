"""The catalogue of CloudTrail's event names, made again: `python -m tests.make_event_names`.

Writes `detector/rules/event_names.txt` from the service models of the installed botocore and from
the tables below. Run it after an upgrade of botocore, and read the difference.

**Names.** An event of the type AwsApiCall is named as its operation is. `RENAMED`, `_lambda` and
`_cloudfront` hold the services that do otherwise, `OTHER_EVENTS` what is no operation of a model.

**Sources.** An event source is `<name>.amazonaws.com`, and the name is the model's signing name, or
its endpoint prefix where it has none. So several models of one service come together: docdb and
neptune with rds, both versions of apigateway, of elasticloadbalancing and of ses, opensearch with
es, all of bedrock. `SOURCES` holds the services that CloudTrail names otherwise.

The facts are from the CloudTrail pages of the services' own user guides, from Amazon EventBridge's
events reference (which gives the eventSource of every service that it receives through CloudTrail),
and from real logs. Both names are listed where two of these disagree: a name too many hides one
misspelling, a name too few blames a good rule.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import botocore
import msgspec

from tests.conftest import REPOSITORY

DATA = REPOSITORY / "detector" / "rules" / "event_names.txt"

SOURCES: Mapping[str, tuple[str, ...]] = {
    # The name of the endpoint, with hyphens for its dots. No log or page was found that shows
    # deployment, entitlement or reporting: they follow the others of the marketplace.
    "marketplace-agreement": ("agreement-marketplace",),
    "marketplace-deployment": ("deployment-marketplace",),
    "marketplace-discovery": ("discovery-marketplace",),
    "marketplace-entitlement": ("entitlement-marketplace",),
    "marketplace-reporting": ("reporting-marketplace",),
    "meteringmarketplace": ("metering-marketplace",),
    "pinpoint": ("pinpoint",),
    "servicecatalog-appregistry": ("servicecatalog-appregistry",),
    # The service's own name.
    "chime-sdk-media-pipelines": ("chime-sdk-media-pipelines",),
    "chime-sdk-voice": ("chime", "chime-sdk-voice"),
    "marketplace-catalog": ("marketplacecatalog",),
    "mgh": ("migrationhub",),
    "migrationhub-config": ("migrationhub",),
    "mpa": ("mpa", "multi-party-approval"),
    "mq": ("amazonmq",),
    "pricing": ("pricelist",),
    "rds-data": ("rdsdata", "rdsdataapi"),
    # IAM Identity Center: its user guide gives two sources for two of its four APIs.
    "identitystore": ("identitystore", "sso-directory"),
    "sso": ("sso",),
    "sso-oidc": ("sso", "sso-oauth"),
    # The user guide and EventBridge's reference disagree.
    "application-insights": ("application-insights", "applicationinsights"),
    # Signed as `execute-api`, which is any API behind API Gateway and logs nothing. That the
    # participant service logs as its parent is an assumption.
    "apigatewaymanagementapi": (),
    "connectparticipant": ("connect",),
    # Signed as `cloudwatch`, which is no source: CloudWatch is monitoring.amazonaws.com.
    "cloudwatchomni": ("cloudwatch-omni",),
}
"""Services whose event sources are not named as their requests are signed."""

RENAMED: Mapping[str, Mapping[str, str]] = {
    "s3": {
        "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
        "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
        "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
        "GetBucketNotificationConfiguration": "GetBucketNotification",
        "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
        "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
        "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
        "PutBucketNotificationConfiguration": "PutBucketNotification",
        "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    },
    "s3control": {
        "DeleteBucketLifecycleConfiguration": "DeleteBucketLifecycle",
        "DeletePublicAccessBlock": "DeleteAccountPublicAccessBlock",
        "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
        "GetPublicAccessBlock": "GetAccountPublicAccessBlock",
        "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
        "PutPublicAccessBlock": "PutAccountPublicAccessBlock",
    },
}
"""Operations that CloudTrail logs by another name: the lists in the Amazon S3 user guide."""

LAMBDA_UNDATED = frozenset({"Invoke", "InvokeAsync"})
LAMBDA_SECOND_VERSION = frozenset(
    {
        "AddPermission",
        "GetFunction",
        "GetFunctionConfiguration",
        "GetPolicy",
        "RemovePermission",
        "TagResource",
        "UntagResource",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
    }
)

OTHER_EVENTS: Mapping[str, str] = {
    # Sign-in to the console (AwsConsoleSignIn, AwsServiceEvent), and to IAM Identity Center.
    "signin": """
        CheckMfa ConsoleLogin CredentialChallenge CredentialVerification ExitRole
        ExternalIdPDirectoryLogin GetSigninToken PasswordRecoveryCompleted
        PasswordRecoveryRequested PasswordUpdated RenewRole SwitchRole UserAuthentication
        """,
    # The access portal, then the console of IAM Identity Center.
    "sso": """
        Authenticate Federate ListApplications ListProfilesForApplication

        AssociateDirectory AssociateProfile BatchDeleteSession BatchGetSession
        CreateApplicationInstance CreateApplicationInstanceCertificate CreateProfile CreateTrust
        DeleteApplicationInstance DeleteApplicationInstanceCertificate DeletePermissionsPolicy
        DeleteProfile DescribePermissionsPolicies DescribeRegisteredRegions
        DisableExternalIdPConfigurationForDirectory DisassociateDirectory DisassociateProfile
        EnableExternalIdPConfigurationForDirectory GetApplicationInstance GetApplicationTemplate
        GetMfaDeviceManagementForDirectory GetPermissionSet GetPermissionsPolicy GetProfile
        GetSSOStatus ImportApplicationInstanceServiceProviderMetadata
        ListApplicationInstanceCertificates ListApplicationInstances ListApplicationTemplates
        ListDirectoryAssociations ListProfileAssociations ListProfiles ListSessions
        PutMfaDeviceManagementForDirectory PutPermissionsPolicy SearchGroups SearchUsers StartSSO
        UpdateApplicationInstanceActiveCertificate UpdateApplicationInstanceDisplayData
        UpdateApplicationInstanceResponseConfiguration
        UpdateApplicationInstanceResponseSchemaConfiguration
        UpdateApplicationInstanceSecurityConfiguration
        UpdateApplicationInstanceServiceProviderConfiguration UpdateApplicationInstanceStatus
        UpdateDirectoryAssociation UpdateProfile
        """,
    "sso-directory": """
        AddMemberToGroup AssociateDirectory CompleteVirtualMfaDeviceRegistration
        CompleteWebAuthnDeviceRegistration CreateAlias CreateBearerToken
        CreateExternalIdPConfigurationForDirectory CreateProvisioningTenant DeleteBearerToken
        DeleteExternalIdPCertificate DeleteExternalIdPConfigurationForDirectory
        DeleteMfaDeviceForUser DeleteProvisioningTenant DescribeDirectory DescribeGroups
        DescribeProvisioningTenant DescribeUserByUniqueAttribute DescribeUsers
        DisableExternalIdPConfigurationForDirectory DisableUser DisassociateDirectory
        EnableExternalIdPConfigurationForDirectory EnableUser GetAWSSPConfigurationForDirectory
        GetUserPoolInfo ImportExternalIdPCertificate IsMemberInGroup ListBearerTokens
        ListExternalIdPCertificates ListExternalIdPConfigurationsForDirectory ListGroupsForMember
        ListGroupsForUser ListMembersInGroup ListMfaDevicesForUser ListProvisioningTenants
        PutMfaDeviceManagementForDirectory RemoveMemberFromGroup SearchGroups SearchUsers
        StartVirtualMfaDeviceRegistration StartWebAuthnDeviceRegistration
        UpdateExternalIdPConfigurationForDirectory UpdateGroupDisplayName UpdateMfaDeviceForUser
        UpdatePassword UpdateUserName VerifyEmail
        """,
    "identitystore-scim": """
        CreateGroup CreateUser DeleteGroup DeleteUser GetGroup GetUser ListGroups ListUsers
        PatchGroup PatchUser PutUser ServiceProviderConfig
        """,
    # What a service does by itself (AwsServiceEvent).
    "acm-pca": "GenerateCRL IssueCertificateDetails",
    "appmesh": "StreamAggregatedResources",
    "controltower": """
        CreateManagedAccount DeregisterOrganizationalUnit DisableGuardrail EnableGuardrail
        PrecheckOrganizationalUnit RegisterOrganizationalUnit SetupLandingZone UpdateLandingZone
        UpdateManagedAccount
        """,
    "ec2": "BidEvictedEvent SharedSnapshotCopyInitiated SharedSnapshotVolumeCreated",
    "ecr": "PolicyExecutionEvent",
    "elasticfilesystem": "NewClientConnection UpdateClientConnection",
    "kms": "DeleteExpiredKeyMaterial DeleteKey RotateKey SynchronizeMultiRegionKey",
    "lambda": "LambdaESMDisabled",
    "organizations": """
        AccountDepartedOrganization AccountJoinedOrganization CloseAccountResult
        CreateAccountResult
        """,
    "payment-cryptography": "SynchronizeMultiRegionKey",
    "secretsmanager": """
        CancelSecretVersionDelete EndSecretVersionDelete RotationAbandoned RotationFailed
        RotationStarted RotationSucceeded StartSecretVersionDelete
        """,
    # Operations without a public model: of consoles, agents, browsers and older protocols.
    "cloudshell": """
        CreateEnvironment CreateSession DeleteEnvironment DescribeEnvironments
        GetEnvironmentStatus GetFileDownloadUrls GetFileUploadUrls PutCredentials RedeemCode
        SendHeartBeat StartEnvironment StopEnvironment
        """,
    "cognito-idp": """
        Beta_Authorize_GET Beta_SAML2Response_POST Beta_Token_POST CognitoAuthentication
        ConfirmForgotPassword_GET ConfirmForgotPassword_POST Confirm_GET Confirm_POST
        Confirm_With_Link_GET Error_GET Event_Feedback_GET ForgotPassword_GET ForgotPassword_POST
        Login_GET Login_OIDC_SAML_POST Logout MfaOption_GET MfaOption_POST MfaRegister_GET
        MfaRegister_POST Mfa_GET Mfa_POST OAuth2Response_GET OAuth2Response_POST
        OAuth2_Authorize_GET ResendCode_POST ResetPassword_GET ResetPassword_POST SAML2Logout_POST
        SAML2Response_POST Signup_GET Signup_POST Token_POST UserInfo_GET UserInfo_POST

        confirmUser_GET forgotPassword_POST login_POST login_continue_POST login_passkey_POST
        mfa_back_POST mfa_options_POST mfa_phone_register_POST mfa_phone_resendCode_POST
        mfa_phone_verify_POST mfa_totp_POST passkeys_add_GET passkeys_add_POST selectChallenge_POST
        signup_POST signup_confirm_POST verifyCode_POST
        """,
    "q": """
        GetConversation GetTroubleshootingResults ListConversations PassRequest SendMessage
        StartConversation StartTroubleshootingAnalysis StartTroubleshootingResolutionExplanation
        UpdateTroubleshootingCommandResult
        """,
    "rds": "DescribeRecommendationGroups DescribeRecommendations",
    "s3": "InitiateReplication JobCreated JobStatusChanged PostObject",
    "ssm": """
        GetManifest ListInstanceAssociations PutConfigurePackageResult RegisterManagedInstance
        UpdateInstanceAssociationStatus UpdateInstanceInformation
        """,
    "ssmmessages": """
        CreateControlChannel CreateDataChannel OpenControlChannel OpenDataChannel
        """,
    # Operations of S3's model that directory buckets and Outposts log as services of their own.
    "s3express": """
        AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload
        CreateSession DeleteBucket DeleteBucketEncryption DeleteBucketPolicy DeleteObject
        DeleteObjects GetBucketEncryption GetBucketPolicy GetObject GetObjectAttributes HeadBucket
        HeadObject ListDirectoryBuckets ListObjectsV2 ListParts PutBucketEncryption PutBucketPolicy
        PutObject UploadPart UploadPartCopy
        """,
    "s3-outposts": """
        AbortMultipartUpload CompleteMultipartUpload CopyObject CreateMultipartUpload DeleteObject
        DeleteObjectTagging GetObject GetObjectTagging HeadObject ListObjects ListObjectsV2
        ListParts PutObject PutObjectTagging UploadPart UploadPartCopy
        """,
}
"""Events that are no operation of a botocore model, by the name of their source."""


class _Metadata(msgspec.Struct, rename="camel"):
    api_version: str
    endpoint_prefix: str
    signing_name: str | None = None


class _Http(msgspec.Struct, rename="camel"):
    request_uri: str = "/"


class _Operation(msgspec.Struct):
    http: _Http = msgspec.field(default_factory=_Http)


class _Model(msgspec.Struct):
    metadata: _Metadata
    operations: dict[str, _Operation]


def main() -> int:
    """Write the data file."""
    DATA.write_text(render(), encoding="ascii")
    sys.stdout.write(f"{DATA.relative_to(REPOSITORY)}: {DATA.stat().st_size} bytes\n")
    return 0


def render() -> str:
    """Return the data file's content for the installed botocore."""
    names: dict[str, set[str]] = defaultdict(set)
    operations: dict[str, dict[str, str]] = defaultdict(dict)
    for service, model in _models():
        for source in _sources(service, model):
            for name, operation in _events(service, model):
                names[source].add(name)
                # Two models of a source can log one operation by two names: the first stands.
                if operation is not None and operation not in operations[source].values():
                    operations[source][name] = operation
    for source, others in OTHER_EVENTS.items():
        names[source].update(others.split())
    blocks = [_HEADER.format(version=botocore.__version__)]
    for source in sorted(names):
        lines = [f"{name} {operations[source].get(name, '')}".rstrip() for name in names[source]]
        blocks.append("\n".join([f"{source}.amazonaws.com", *sorted(lines)]))
    return "\n\n".join(blocks) + "\n"


_HEADER = """\
# From botocore {version}; made by `python -m tests.make_event_names`, which says how.
# A block for each event source, its event names below it; behind a name the operation that
# CloudTrail logs so, where it is called otherwise."""


def recorded_version(text: str) -> str:
    """Return the version of botocore that a data file was made from."""
    match = re.match(r"# From botocore ([\w.]+);", text)
    assert match is not None
    return match[1]


def _models() -> Iterator[tuple[str, _Model]]:
    """Yield each service's newest model: the older ones hold what can no longer be called."""
    decoder = msgspec.json.Decoder(_Model)
    for service in sorted((Path(botocore.__file__).parent / "data").iterdir()):
        versions = sorted(service.glob("*/service-2.json.gz"))
        if versions:
            yield service.name, decoder.decode(gzip.decompress(versions[-1].read_bytes()))


def _sources(service: str, model: _Model) -> tuple[str, ...]:
    metadata = model.metadata
    # `IoTSecuredTunneling` is signed with capitals and logged without.
    return SOURCES.get(service, ((metadata.signing_name or metadata.endpoint_prefix).lower(),))


def _events(service: str, model: _Model) -> Iterator[tuple[str, str | None]]:
    """Yield the event names of a model, and the operation where it is called otherwise."""
    if service == "lambda" or service.startswith("lambda-"):
        yield from _lambda(model)
    elif service == "cloudfront":
        yield from _cloudfront(model)
    else:
        renamed = RENAMED.get(service, {})
        for operation in model.operations:
            yield renamed.get(operation, operation), operation if operation in renamed else None


def _lambda(model: _Model) -> Iterator[tuple[str, str | None]]:
    """Yield the names of Lambda's events.

    Until 2018 an operation's event was given the date that the path of its request begins with,
    later also the number of its second version: CreateFunction20150331,
    UpdateFunctionCode20150331v2, PublishLayerVersion20181031. Later operations have none.
    """
    for operation, description in model.operations.items():
        date = description.http.request_uri[1:11].replace("-", "")
        if operation in LAMBDA_UNDATED or date >= "2019":
            yield operation, None
        elif operation in LAMBDA_SECOND_VERSION:
            yield f"{operation}{date}v2", operation
            yield f"{operation}{date}", None
        else:
            yield f"{operation}{date}", operation


def _cloudfront(model: _Model) -> Iterator[tuple[str, str | None]]:
    """Yield the names of CloudFront's events, which come in two forms.

    The service's own names end in the API's version, and botocore strips it. Real logs hold
    CreateDistributionWithTags and CreateFunction2020_05_31.
    """
    version = model.metadata.api_version.replace("-", "_")
    for operation in model.operations:
        yield operation, None
        yield f"{operation}{version}", None


if __name__ == "__main__":
    raise SystemExit(main())
