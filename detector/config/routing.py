"""Which sinks get which alerts, and how the outbox brings them there."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from detector.config.section import Section, positive
from detector.rules.rule import Level

_DAY = 86_400.0
_ACCOUNT = re.compile(r"[0-9]{12}")
_MATCHERS = ("levels", "rules", "tags", "accounts")


class RouteConfig(Section, frozen=True, kw_only=True):
    """Alerts for `sinks`: those that all that is given matches, each in one of its values.

    `rules` are ids, names or titles, `tags` those of the rule, both with `*` for any run of
    characters. Of `accounts` an alert must have one. Without any sinks they go nowhere.
    """

    levels: tuple[Level, ...] | None = None
    rules: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    accounts: tuple[str | int, ...] | None = None
    sinks: tuple[str, ...]

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in _MATCHERS):
            raise ValueError(
                f"the route is for every alert: give at least one of {', '.join(_MATCHERS)}, or"
                " name its sinks under default"
            )
        for name in _MATCHERS:
            asked = getattr(self, name)
            if asked is not None and not asked:
                raise ValueError(f"{name} is empty, and nothing could match it")
        for item in self.accounts or ():
            if not _ACCOUNT.fullmatch(str(item)):
                raise ValueError(f"accounts holds {item}, and an account id has 12 digits")


class RoutingConfig(Section, frozen=True, kw_only=True):
    """Which sinks get an alert: those of the `first` route that it matches, or of `all` such.

    `default` are those for what no route matches: all sinks, where it is left out.
    """

    match: Literal["first", "all"] = "first"
    routes: tuple[RouteConfig, ...] = ()
    default: tuple[str, ...] | None = None


class OutboxConfig(Section, frozen=True, kw_only=True):
    """How long the outbox keeps what it cannot bring to its sink, and how much of it.

    What has waited for `retention_seconds` becomes a dead letter. Of more than `max_pending`
    notifications for one sink the oldest are put together into a digest.
    """

    retention_seconds: float = 14 * _DAY
    max_pending: int = 50_000

    def __post_init__(self) -> None:
        positive(self, "retention_seconds", "max_pending")


class EgressConfig(Section, frozen=True, kw_only=True):
    """Addresses that sinks over HTTP may reach beside public ones: networks like 10.0.0.0/8.

    Without them none is reached that is private, link-local or this machine's own.
    """

    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in self.allow:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ValueError(f"allow has {text}, which is no network: {error}") from error
