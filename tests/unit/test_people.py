"""Who is behind a record, in all the shapes in which CloudTrail tells it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from detector.alerts.who import people, person_of, person_of_actor
from tests.alerts import alert
from tests.records import ACCOUNT, record

ROLE = {
    "type": "AssumedRole",
    "principalId": "AROAEXAMPLE:alice@example.org",
    "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice@example.org",
    "accountId": ACCOUNT,
    "accessKeyId": "ASIAEXAMPLE",
    "sessionContext": {
        "sessionIssuer": {"type": "Role", "userName": "Admin"},
        "attributes": {"mfaAuthenticated": "true"},
    },
}
USER = {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/eng/bob", "accountId": ACCOUNT}


def within(identity: dict[str, Any], **session: Any) -> dict[str, Any]:
    return {**identity, "sessionContext": {**identity["sessionContext"], **session}}


def told(identity: Any, **fields: Any) -> str:
    return person_of(record(userIdentity=identity, **fields)).told(ACCOUNT)


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (ROLE, "alice@example.org via role Admin"),
        (within(ROLE, sourceIdentity="bob"), "alice@example.org via role Admin (source identity"),
        (
            within(ROLE, sessionIssuer={"userName": "AWSReservedSSO_PowerUser_38ed609eee440095"}),
            "alice@example.org via permission set PowerUser",
        ),
        (USER, "bob"),
        ({**USER, "arn": ..., "userName": "bob"}, "bob"),
        ({"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root"}, "the root user"),
        (
            {
                "type": "FederatedUser",
                "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/carol",
                "sessionContext": {"sessionIssuer": {"type": "IAMUser", "userName": "broker"}},
            },
            "carol via user broker",
        ),
        (
            {
                "type": "SAMLUser",
                "principalId": "SAML:dave",
                "userName": "dave",
                "identityProvider": "http://idp.example.org",
            },
            "dave through http://idp.example.org",
        ),
        (
            {
                "type": "WebIdentityUser",
                "principalId": "accounts.google.com:app:erin",
                "userName": "erin",
                "identityProvider": "accounts.google.com",
            },
            "erin through accounts.google.com",
        ),
        (
            {"type": "AWSAccount", "principalId": "AIDAX", "accountId": "999988887777"},
            "somebody of account 999988887777",
        ),
        ({"type": "AWSService", "invokedBy": "rds.amazonaws.com"}, "rds.amazonaws.com"),
        ({**USER, "invokedBy": "cloudformation.amazonaws.com"}, "bob called by cloudformation."),
        (
            {
                "type": "IdentityCenterUser",
                "accountId": ACCOUNT,
                "onBehalfOf": {"userId": "544894e8", "identityStoreArn": "arn:aws:x"},
            },
            "Identity Center user 544894e8",
        ),
        ({**ROLE, "onBehalfOf": {"userId": "544894e8"}}, "alice@example.org via role Admin on beh"),
        ({**USER, "accountId": "999988887777"}, "bob of account 999988887777"),
        (
            {"type": "IAMUser", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"},
            "a user name that AWS hides",
        ),
        (None, "unknown"),
        ("root", "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_human_or_service_behind_a_record_is_named(identity: Any, words: str) -> None:
    if isinstance(identity, dict):
        identity = {key: value for key, value in identity.items() if value is not ...}
    assert told(identity).startswith(words)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"userIdentity": ROLE}, True),
        (
            {"userIdentity": {**USER, "sessionContext": {"attributes": {"mfaAuthenticated": 1}}}},
            None,
        ),
        ({"eventName": "ConsoleLogin", "additionalEventData": {"MFAUsed": "YES"}}, True),
        ({"eventName": "ConsoleLogin", "additionalEventData": {"MFAUsed": "No"}}, False),
        ({"eventName": "ConsoleLogin", "additionalEventData": None}, None),
        ({}, None),
    ],
)
def test_whether_a_second_factor_was_used_is_told_where_it_is_known(
    fields: dict[str, Any], expected: bool | None
) -> None:
    name = fields.pop("eventName", "PutUserPolicy")
    assert person_of(record(name, **fields)).mfa is expected


def test_a_session_by_single_sign_on_is_not_blamed_for_its_false() -> None:
    session = {"attributes": {"mfaAuthenticated": "false"}}
    assert person_of(record(userIdentity=within(ROLE, **session))).credentials() == ""
    user = {**USER, "sessionContext": session, "accessKeyId": "ASIAX"}
    assert person_of(record(userIdentity=user)).credentials() == "no MFA"


def test_a_key_that_does_not_expire_is_named_as_it_can_be_taken_away() -> None:
    user = {**USER, "accessKeyId": "AKIAEXAMPLE"}
    assert person_of(record(userIdentity=user)).credentials() == "access key AKIAEXAMPLE"


def test_an_actor_is_named_by_its_arn_alone() -> None:
    assert person_of_actor(ROLE["arn"]).told() == "alice@example.org via role Admin"  # type: ignore[arg-type]
    assert person_of_actor("arn:aws:iam::111122223333:root").told() == "the root user"
    assert person_of_actor("rds.amazonaws.com").told() == "rds.amazonaws.com"
    assert person_of_actor("arn:").told() == "unknown"


def test_the_people_of_an_alert_are_there_once_each() -> None:
    records = [record(userIdentity=identity) for identity in (ROLE, USER, ROLE)]
    made = msgspec.structs.replace(alert(), evidence=records)
    assert [person.name for person in people(made)] == ["alice@example.org", "bob"]
