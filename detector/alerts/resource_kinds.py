"""The kinds of resources, and how records and ARNs name them.

Types are those of AWS Config, which other formats take over with small changes; where Config has
none, CloudFormation's. Sources: AWS Config Developer Guide, "Supported resource types"; Service
Authorization Reference (the form of each ARN).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Kind(NamedTuple):
    """How a kind of resource is called: its type, and its ARN with the name for `{}`.

    The template leaves out `arn:PARTITION:`; without one the ARN is not known. `$r` and `$a` are
    the region and the account.
    """

    type: str
    arn: str = ""


USER = Kind("AWS::IAM::User", "iam::$a:user/{}")
ROLE = Kind("AWS::IAM::Role", "iam::$a:role/{}")
GROUP = Kind("AWS::IAM::Group", "iam::$a:group/{}")
PROFILE = Kind("AWS::IAM::InstanceProfile", "iam::$a:instance-profile/{}")
POLICY = Kind("AWS::IAM::Policy")
BUCKET = Kind("AWS::S3::Bucket", "s3:::{}")
TRAIL = Kind("AWS::CloudTrail::Trail", "cloudtrail:$r:$a:trail/{}")
KEY = Kind("AWS::KMS::Key", "kms:$r:$a:key/{}")
ALIAS = Kind("AWS::KMS::Alias", "kms:$r:$a:{}")
ACCOUNT = Kind("AWS::Organizations::Account")
PERMISSION_SET = Kind("AWS::SSO::PermissionSet")
CENTER_USER = Kind("AWS::IdentityStore::User")
CENTER_GROUP = Kind("AWS::IdentityStore::Group")

PARAMETERS: Mapping[str, Mapping[str, Kind]] = {
    "iam": {
        "userName": USER,
        "groupName": GROUP,
        "roleName": ROLE,
        "instanceProfileName": PROFILE,
        "policyArn": POLICY,
        "permissionsBoundary": POLICY,
        "accessKeyId": Kind("AWS::IAM::AccessKey"),
        "serialNumber": Kind("AWS::IAM::VirtualMFADevice"),
        "virtualMFADeviceName": Kind("AWS::IAM::VirtualMFADevice", "iam::$a:mfa/{}"),
        "sAMLProviderArn": Kind("AWS::IAM::SAMLProvider"),
        "openIDConnectProviderArn": Kind("AWS::IAM::OIDCProvider"),
        "certificateId": Kind("AWS::IAM::SigningCertificate"),
        "sSHPublicKeyId": Kind("AWS::IAM::SSHPublicKey"),
        "serviceSpecificCredentialId": Kind("AWS::IAM::ServiceSpecificCredential"),
        "serverCertificateName": Kind(
            "AWS::IAM::ServerCertificate", "iam::$a:server-certificate/{}"
        ),
        "delegationRequestId": Kind("AWS::IAM::DelegationRequest"),
    },
    "sts": {"roleArn": ROLE, "targetPrincipal": ACCOUNT},
    "s3": {
        "bucketName": BUCKET,
        "name": Kind("AWS::S3::AccessPoint", "s3:$r:$a:accesspoint/{}"),
    },
    "kms": {
        "keyId": KEY,
        "targetKeyId": KEY,
        "aliasName": ALIAS,
        "customKeyStoreId": Kind("AWS::KMS::CustomKeyStore"),
    },
    "cloudtrail": {
        "name": TRAIL,
        "trailName": TRAIL,
        "eventDataStore": Kind("AWS::CloudTrail::EventDataStore"),
        "channel": Kind("AWS::CloudTrail::Channel"),
        "resourceArn": Kind("AWS::CloudTrail::EventDataStore"),
        "memberAccountId": ACCOUNT,
        "delegatedAdminAccountId": ACCOUNT,
    },
    "config": {
        "configurationRecorderName": Kind("AWS::Config::ConfigurationRecorder"),
        "configurationRecorder": Kind("AWS::Config::ConfigurationRecorder"),
        "deliveryChannelName": Kind("AWS::Config::DeliveryChannel"),
        "deliveryChannel": Kind("AWS::Config::DeliveryChannel"),
        "configurationAggregatorName": Kind("AWS::Config::ConfigurationAggregator"),
        "configRuleName": Kind("AWS::Config::ConfigRule"),
    },
    "organizations": {
        "policyId": Kind("AWS::Organizations::Policy"),
        "organizationalUnitId": Kind("AWS::Organizations::OrganizationalUnit"),
        "targetId": Kind("AWS::Organizations::Target"),
        "accountId": ACCOUNT,
        "handshakeId": Kind("AWS::Organizations::Handshake"),
    },
    "sso": {
        "permissionSetArn": PERMISSION_SET,
        "managedPolicyArn": POLICY,
        "targetId": ACCOUNT,
        "applicationArn": Kind("AWS::SSO::Application"),
        "trustedTokenIssuerArn": Kind("AWS::SSO::TrustedTokenIssuer"),
        "instanceArn": Kind("AWS::SSO::Instance"),
        "directoryId": Kind("AWS::DirectoryService::Directory"),
    },
    "sso-directory": {
        "userId": CENTER_USER,
        "groupId": CENTER_GROUP,
        "identityStoreId": Kind("AWS::IdentityStore::IdentityStore"),
        "directoryId": Kind("AWS::DirectoryService::Directory"),
    },
    "identitystore": {
        "userId": CENTER_USER,
        "groupId": CENTER_GROUP,
        "identityStoreId": Kind("AWS::IdentityStore::IdentityStore"),
    },
    "directconnect": {
        "directConnectGatewayId": Kind("AWS::DirectConnect::DirectConnectGateway"),
        "virtualGatewayId": Kind("AWS::EC2::VPNGateway", "ec2:$r:$a:vpn-gateway/{}"),
        "gatewayId": Kind("AWS::EC2::TransitGateway", "ec2:$r:$a:transit-gateway/{}"),
        "associationId": Kind("AWS::DirectConnect::DirectConnectGatewayAssociation"),
        "proposalId": Kind("AWS::DirectConnect::DirectConnectGatewayAssociationProposal"),
    },
    "lambda": {"functionName": Kind("AWS::Lambda::Function", "lambda:$r:$a:function:{}")},
    "rds": {
        "dBInstanceIdentifier": Kind("AWS::RDS::DBInstance", "rds:$r:$a:db:{}"),
        "dBClusterIdentifier": Kind("AWS::RDS::DBCluster", "rds:$r:$a:cluster:{}"),
        "dBSnapshotIdentifier": Kind("AWS::RDS::DBSnapshot", "rds:$r:$a:snapshot:{}"),
    },
    "secretsmanager": {"secretId": Kind("AWS::SecretsManager::Secret")},
    "ssm": {"instanceId": Kind("AWS::EC2::Instance", "ec2:$r:$a:instance/{}")},
    "guardduty": {"detectorId": Kind("AWS::GuardDuty::Detector", "guardduty:$r:$a:detector/{}")},
    "logs": {"logGroupName": Kind("AWS::Logs::LogGroup", "logs:$r:$a:log-group:{}")},
    "dynamodb": {"tableName": Kind("AWS::DynamoDB::Table", "dynamodb:$r:$a:table/{}")},
    "eks": {"name": Kind("AWS::EKS::Cluster", "eks:$r:$a:cluster/{}")},
    "sns": {"topicArn": Kind("AWS::SNS::Topic")},
    "sqs": {"queueUrl": Kind("AWS::SQS::Queue")},
    "events": {"rule": Kind("AWS::Events::Rule")},
}
"""Per service the parameters that name what an event is about, the most telling ones first."""

EC2_IDS: Mapping[str, tuple[str, str]] = {
    "sg": ("AWS::EC2::SecurityGroup", "security-group"),
    "acl": ("AWS::EC2::NetworkAcl", "network-acl"),
    "rtb": ("AWS::EC2::RouteTable", "route-table"),
    "igw": ("AWS::EC2::InternetGateway", "internet-gateway"),
    "eigw": ("AWS::EC2::EgressOnlyInternetGateway", "egress-only-internet-gateway"),
    "nat": ("AWS::EC2::NatGateway", "natgateway"),
    "vgw": ("AWS::EC2::VPNGateway", "vpn-gateway"),
    "cgw": ("AWS::EC2::CustomerGateway", "customer-gateway"),
    "cagw": ("AWS::EC2::CarrierGateway", "carrier-gateway"),
    "tgw": ("AWS::EC2::TransitGateway", "transit-gateway"),
    "tgw-attach": ("AWS::EC2::TransitGatewayAttachment", "transit-gateway-attachment"),
    "tgw-rtb": ("AWS::EC2::TransitGatewayRouteTable", "transit-gateway-route-table"),
    "pcx": ("AWS::EC2::VPCPeeringConnection", "vpc-peering-connection"),
    "vpce": ("AWS::EC2::VPCEndpoint", "vpc-endpoint"),
    "vpce-svc": ("AWS::EC2::VPCEndpointService", "vpc-endpoint-service"),
    "vpcbpa-exclude": (
        "AWS::EC2::VPCBlockPublicAccessExclusion",
        "vpc-block-public-access-exclusion",
    ),
    "i": ("AWS::EC2::Instance", "instance"),
    "eni": ("AWS::EC2::NetworkInterface", "network-interface"),
    "vol": ("AWS::EC2::Volume", "volume"),
    "snap": ("AWS::EC2::Snapshot", "snapshot"),
    "ami": ("AWS::EC2::Image", "image"),
    "eipalloc": ("AWS::EC2::EIP", "elastic-ip"),
    "subnet": ("AWS::EC2::Subnet", "subnet"),
    "vpc": ("AWS::EC2::VPC", "vpc"),
}
"""Prefixes of ids: the type, and what the ARN calls it. The most telling ones first.

Source: Amazon EC2 User Guide, "Resource IDs"; Service Authorization Reference, Amazon EC2."""

ARN_TYPES: Mapping[tuple[str, str], str] = {
    **{("ec2", part): type_ for type_, part in EC2_IDS.values()},
    ("iam", "user"): USER.type,
    ("iam", "role"): ROLE.type,
    ("iam", "group"): GROUP.type,
    ("iam", "policy"): POLICY.type,
    ("iam", "instance-profile"): PROFILE.type,
    ("iam", "mfa"): "AWS::IAM::VirtualMFADevice",
    ("iam", "saml-provider"): "AWS::IAM::SAMLProvider",
    ("iam", "oidc-provider"): "AWS::IAM::OIDCProvider",
    ("iam", "server-certificate"): "AWS::IAM::ServerCertificate",
    ("sts", "assumed-role"): "AWS::STS::AssumedRole",
    ("kms", "key"): KEY.type,
    ("kms", "alias"): "AWS::KMS::Alias",
    ("cloudtrail", "trail"): TRAIL.type,
    ("cloudtrail", "eventdatastore"): "AWS::CloudTrail::EventDataStore",
    ("cloudtrail", "channel"): "AWS::CloudTrail::Channel",
    ("sso", "permissionSet"): PERMISSION_SET.type,
    ("sso", "instance"): "AWS::SSO::Instance",
    ("sso", "application"): "AWS::SSO::Application",
    ("sso", "trustedTokenIssuer"): "AWS::SSO::TrustedTokenIssuer",
    ("lambda", "function"): "AWS::Lambda::Function",
    ("secretsmanager", "secret"): "AWS::SecretsManager::Secret",
    ("ssm", "parameter"): "AWS::SSM::Parameter",
    ("logs", "log-group"): "AWS::Logs::LogGroup",
    ("dynamodb", "table"): "AWS::DynamoDB::Table",
    ("rds", "db"): "AWS::RDS::DBInstance",
    ("rds", "cluster"): "AWS::RDS::DBCluster",
    ("eks", "cluster"): "AWS::EKS::Cluster",
    ("ecs", "cluster"): "AWS::ECS::Cluster",
    ("ecs", "service"): "AWS::ECS::Service",
    ("guardduty", "detector"): "AWS::GuardDuty::Detector",
    ("organizations", "account"): ACCOUNT.type,
    ("organizations", "policy"): "AWS::Organizations::Policy",
    ("organizations", "ou"): "AWS::Organizations::OrganizationalUnit",
}
"""Types by the service of an ARN and the first part of its resource."""
