"""Where it happened: accounts by what people call them, and regions."""

from __future__ import annotations

from collections.abc import Mapping

from detector.alerts.alert import Alert
from detector.alerts.plain import listed, plain

MAX_LISTED = 5
_MAX_NAME = 64


def account_in_words(account: str, names: Mapping[str, str]) -> str:
    """Return an account: `production (111122223333)`, or its id alone."""
    name, id_ = plain(names.get(account, ""), _MAX_NAME), plain(account, _MAX_NAME)
    return f"{name} ({id_})" if name else id_


def accounts_of(alert: Alert) -> list[str]:
    """Return the accounts of an alert, the one that it is grouped by first."""
    grouped = alert.group.get("recipientAccountId")
    first = [grouped] if isinstance(grouped, str) and grouped else []
    return list(dict.fromkeys([*first, *alert.accounts]))


def where_of(alert: Alert, names: Mapping[str, str], most: int = MAX_LISTED) -> str:
    """Return the accounts and the regions of an alert."""
    accounts = [account_in_words(account, names) for account in accounts_of(alert)]
    grouped = alert.group.get("awsRegion")
    regions = [grouped] if isinstance(grouped, str) and grouped else []
    regions = list(dict.fromkeys([*regions, *alert.regions]))
    shown = [
        listed(accounts, most, are_all="accounts" not in alert.truncated),
        listed(
            [plain(region, _MAX_NAME) for region in regions],
            most,
            are_all="regions" not in alert.truncated,
        ),
    ]
    return ", ".join(filter(None, shown))
