"""Who did it: the person, role or service behind a record, and how they came in.

Source: AWS CloudTrail User Guide, "CloudTrail userIdentity element" and "AWS Management Console
sign-in events".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detector.alerts.alert import Alert
from detector.alerts.fields import mapping_at, text_at, value_at
from detector.alerts.plain import plain
from detector.events.actor import UNKNOWN, actor

MAX_PEOPLE = 10
"""Of one alert: twice the records of its evidence."""

_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
_MAX = 256
_MAX_SHOWN = 64
_SSO_ROLE = re.compile(r"AWSReservedSSO_(.+)_[0-9a-f]{16}")
_LONG_TERM = "AKIA"


@dataclass(frozen=True, slots=True)
class Person:
    """Who made a request, each field as the record has it, cleaned; empty where it has none.

    `name` is that of the human or service, as far as anything tells it: the session name of an
    assumed role. `role` is the name of the role or user that issued the session. `mfa` is None
    where the record does not tell.
    """

    type: str
    name: str
    arn: str = ""
    account: str = ""
    principal_id: str = ""
    access_key_id: str = ""
    role: str = ""
    source_identity: str = ""
    on_behalf_of: str = ""
    identity_provider: str = ""
    invoked_by: str = ""
    mfa: bool | None = None

    def told(self, home: str = "") -> str:
        """Return who it is in a few words; an account other than `home` is named."""
        words = [self._called(), *self._behind()]
        if self.account and home and self.account != home:
            words.append(f"of account {self.account}")
        return " ".join(words)

    def credentials(self) -> str:
        """Return what is worth knowing of the credentials: MFA, a key that does not expire."""
        is_own = self.type in {"IAMUser", "Root"}
        words = []
        if self.mfa is not None and (self.mfa or is_own):
            # A role's session says false for all who came by single sign-on, MFA or not.
            words.append("MFA" if self.mfa else "no MFA")
        if self.access_key_id.startswith(_LONG_TERM) and is_own:
            words.append(f"access key {self.access_key_id}")
        return ", ".join(words)

    def _called(self) -> str:
        name = plain(self.name, _MAX_SHOWN)
        if self.type == "Root":
            return "the root user"
        if self.name == _HIDDEN:
            return "a user name that AWS hides"
        if self.type == "AWSAccount":
            return f"somebody of account {self.account}" if self.account else name
        if self.type == "IdentityCenterUser" and self.on_behalf_of:
            return f"Identity Center user {plain(self.on_behalf_of, _MAX_SHOWN)}"
        return name or UNKNOWN

    def _behind(self) -> list[str]:
        words = []
        if self.role and self.role != self.name:
            match = _SSO_ROLE.fullmatch(self.role)
            role = f"permission set {match[1]}" if match else f"role {self.role}"
            if self.type == "FederatedUser":
                role = f"user {self.role}"
            words.append(f"via {plain(role, _MAX_SHOWN)}")
        if self.source_identity and self.source_identity != self.name:
            words.append(f"(source identity {plain(self.source_identity, _MAX_SHOWN)})")
        if self.on_behalf_of and self.type != "IdentityCenterUser":
            words.append(f"on behalf of {plain(self.on_behalf_of, _MAX_SHOWN)}")
        if self.identity_provider:
            words.append(f"through {plain(self.identity_provider, _MAX_SHOWN)}")
        if self.invoked_by and self.invoked_by != self.name:
            words.append(f"called by {plain(self.invoked_by, _MAX_SHOWN)}")
        return words


def people(alert: Alert) -> tuple[Person, ...]:
    """Return who made the requests of an alert's evidence, each once."""
    return tuple(dict.fromkeys(map(person_of, alert.evidence)))[:MAX_PEOPLE]


def person_of(record: Mapping[str, Any]) -> Person:
    """Return who made a request."""
    identity = mapping_at(record, "userIdentity")
    session = mapping_at(identity, "sessionContext")
    arn = text_at(identity, "arn")
    of_arn = _of_arn(arn)
    issuer = text_at(session, "sessionIssuer", "userName") or of_arn.role
    type_ = text_at(identity, "type") or of_arn.type
    principal = text_at(identity, "principalId")
    name = of_arn.name or text_at(identity, "userName")
    if not name and ":" in principal:
        name = principal.partition(":")[2]  # of an assumed role: the session's name
    invoked_by = text_at(identity, "invokedBy")
    behalf = text_at(identity, "onBehalfOf", "userId")
    if not name:
        name = invoked_by or behalf or plain(actor(record), _MAX)
    # The session's name is all that is left of whom an identity provider has let in.
    provider = text_at(identity, "identityProvider") or text_at(
        session, "webIdFederationData", "federatedProvider"
    )
    made = Person(
        type=type_,
        name=name,
        arn=arn,
        account=text_at(identity, "accountId") or of_arn.account,
        principal_id=principal,
        access_key_id=text_at(identity, "accessKeyId"),
        role=issuer if type_ in {"AssumedRole", "FederatedUser", "Unknown", ""} else "",
        source_identity=text_at(session, "sourceIdentity") or text_at(identity, "sourceIdentity"),
        on_behalf_of=behalf,
        identity_provider=provider,
        invoked_by=invoked_by,
        mfa=_mfa(record, session),
    )
    return _cleaned(made)


def person_of_actor(name: str) -> Person:
    """Return who is meant by an actor of an alert: an ARN, or a name."""
    return _cleaned(_of_arn(name) if name.startswith("arn:") else Person("", name))


def _cleaned(person: Person) -> Person:
    values = {field: getattr(person, field) for field in Person.__slots__ if field != "mfa"}
    return Person(**{field: plain(value, _MAX) for field, value in values.items()}, mfa=person.mfa)


def _of_arn(arn: str) -> Person:
    """Return what an ARN alone tells."""
    parts = arn.split(":", 5)
    if len(parts) < 6:  # noqa: PLR2004
        return Person("", "")
    account, (kind, _, rest) = parts[4], parts[5].partition("/")
    if kind == "root":
        return Person("Root", "root", arn, account)
    if kind == "assumed-role":
        role, _, session = rest.partition("/")
        return Person("AssumedRole", session or role, arn, account, role=role)
    if kind == "user":
        return Person("IAMUser", rest.rpartition("/")[2], arn, account)
    if kind == "federated-user":
        return Person("FederatedUser", rest, arn, account)
    return Person("", rest or parts[5], arn, account)


def _mfa(record: Mapping[str, Any], session: Mapping[str, Any]) -> bool | None:
    """Return whether a second factor was used. The two fields spell it in their own ways."""
    said = value_at(session, "attributes", "mfaAuthenticated")
    if text_at(record, "eventName") == "ConsoleLogin":
        said = value_at(record, "additionalEventData", "MFAUsed")
    if isinstance(said, bool):
        return said
    word = said.lower() if isinstance(said, str) else ""
    return True if word in {"true", "yes"} else False if word in {"false", "no"} else None
