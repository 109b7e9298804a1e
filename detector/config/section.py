"""What the parts of the configuration have in common."""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ACCOUNT = re.compile(r"[0-9]{12}")


class Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A part of the configuration; unknown keys in it are errors.

    `secrets` names the fields that `repr` leaves out: what is shown somewhere by mistake must not
    hold a secret.
    """

    secrets: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        """Leave out what is secret."""
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name not in self.secrets
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class Named(Section, frozen=True, kw_only=True):
    """A part of which there may be several, told apart by their names in metrics and the state."""

    name: str = ""

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError("name is lower-case letters, digits, '_' and '-', at most 63")


def positive(section: Section, *names: str) -> None:
    """Refuse values that are not more than 0."""
    for name in names:
        if not getattr(section, name) > 0:
            raise ValueError(f"{name} must be more than 0")


def between(section: Section, name: str, least: int, most: int) -> None:
    """Refuse a value outside of bounds."""
    if not least <= getattr(section, name) <= most:
        raise ValueError(f"{name} must be from {least} to {most}")


def url(section: Section, name: str) -> None:
    """Refuse what is no address for HTTP; None is fine."""
    value = getattr(section, name)
    if value is not None and not is_url(value):
        raise ValueError(f"{name} must be an http:// or https:// address")


def is_url(value: str) -> bool:
    """Return whether a text is an address for HTTP."""
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def account(section: Section, name: str) -> None:
    """Refuse what is no account id; None is fine."""
    value = getattr(section, name)
    if value is not None and not _ACCOUNT.fullmatch(value):
        raise ValueError(f'{name} is an account id of 12 digits, in quotes: "111122223333"')
