"""MITRE ATT&CK, as the tags of rules name it, in the objects of OCSF.

Sources: Sigma tags specification (`attack.t1098.003`, `attack.privilege-escalation`), MITRE ATT&CK
Enterprise tactics, and OCSF 1.8.0, object "attack".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_TECHNIQUE = re.compile(r"attack\.(t\d{4})(?:\.(\d{3}))?", re.IGNORECASE)
_TACTIC = re.compile(r"attack\.([a-z][a-z_-]+)", re.IGNORECASE)

_TACTIC_UIDS = {
    "reconnaissance": "TA0043",
    "resource-development": "TA0042",
    "initial-access": "TA0001",
    "execution": "TA0002",
    "persistence": "TA0003",
    "privilege-escalation": "TA0004",
    "defense-evasion": "TA0005",
    "stealth": "TA0005",
    "defense-impairment": "TA0112",
    "credential-access": "TA0006",
    "discovery": "TA0007",
    "lateral-movement": "TA0008",
    "collection": "TA0009",
    "exfiltration": "TA0010",
    "command-and-control": "TA0011",
    "impact": "TA0040",
}
"""Version 19 has split defense evasion into stealth, which kept its number, and defense impairment;
rules are tagged by either."""


def attacks_of(tags: Iterable[str]) -> list[dict[str, Any]]:
    """Return the objects for all techniques and tactics that tags name; other tags say nothing.

    Tags do not say which technique serves which tactic. So a technique has its tactic only where
    there is no other; else techniques and tactics stand for themselves.
    """
    techniques: list[dict[str, Any]] = []
    tactics: list[dict[str, Any]] = []
    for tag in dict.fromkeys(tags):
        if found := _TECHNIQUE.fullmatch(tag):
            techniques.append(_technique(found[1].upper(), found[2]))
        elif found := _TACTIC.fullmatch(tag):
            tactics.append({"tactic": _tactic(found[1].lower().replace("_", "-"))})
    if techniques and len(tactics) == 1:
        return [{**technique, **tactics[0]} for technique in techniques]
    return techniques + tactics


def _technique(uid: str, part: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {"technique": {"uid": uid}}
    if part is not None:
        made["sub_technique"] = {"uid": f"{uid}.{part}"}
    return made


def _tactic(slug: str) -> dict[str, str]:
    name = slug.replace("-", " ").title().replace(" And ", " and ")
    uid = _TACTIC_UIDS.get(slug)
    return {"name": name, "uid": uid} if uid else {"name": name}
