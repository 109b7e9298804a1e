"""Log files without end: events that rules match among many that none does, copied and shuffled."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.logset import log_files
from detector.rules.loader import shipped_rules
from tests.records import record, zipped_log_file

IAM_RULE = shipped_rules() / "cis" / "iam_policy_changes.yml"
RULES = [IAM_RULE, Path(__file__).parent / "counted.yml"]

SPAN_SECONDS = 3600
"""Events happen within an hour, in any order: a dozen windows of three accounts fill again and
again, and each kill finds them half full."""

DELIVERED = "20260916T1230Z"
"""When CloudTrail delivered all files, in the middle of the first hour: whether an event is late
then depends on the event alone, not on which of its copies came first."""

FILES_AN_HOUR = 100
"""After that many, events are of the next hour: windows of thousands of events take long."""

MATCHING_A_FILE = 60
"""At most; together with 53 others in the mean, a third of all events is matched."""

LONELY_A_FILE = 3
"""Events in a window of their own. Nothing ever updates its alert: one that is lost stays lost."""

LONELY_FROM = 60 * 86_400
"""Seconds from the first of the others to the first of these: later than any run comes to."""

ACCOUNTS = ("111122223333", "444455556666", "777788889999")
USERS = ("alice", "bob", "carol")


class Traffic:
    """Writes files into a folder, and hands each to `announce`, some of them twice."""

    def __init__(
        self, folder: Path, chance: random.Random, announce: Callable[[Path], object]
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.announced = 0
        self._chance = chance
        self._announce = announce
        self._others = log_files(1 << 60, seed=chance.randrange(1 << 30))
        self._paths: list[Path] = []
        self._events: list[dict[str, Any]] = []
        """Those that are matched: what could be counted twice."""

    def give(self, files: int) -> None:
        """Write new files, and announce some older ones once more."""
        for _ in range(files):
            path = self._write()
            self._paths.append(path)
            again = [self._chance.choice(self._paths)] if self._is_one_in(4) else []
            for announced in (path, *again):
                self.announced += 1
                self._announce(announced)

    def _is_one_in(self, times: int) -> bool:
        return self._chance.random() * times < 1

    def _write(self) -> Path:
        number = len(self._paths)
        path = self.folder / f"{ACCOUNTS[0]}_CloudTrail_us-east-1_{DELIVERED}_{number:016d}.json.gz"
        if self._paths and self._is_one_in(12):
            body = self._chance.choice(self._paths).read_bytes()  # the same under another name
        else:
            body = zipped_log_file(*self._batch())
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(body)
        hidden.rename(path)
        return path

    def _batch(self) -> list[dict[str, Any]]:
        _, others = next(self._others)
        new = [*self._matched(self._chance.randint(1, MATCHING_A_FILE)), *self._lonely()]
        known = self._chance.sample(
            self._events, min(len(self._events), self._chance.randint(0, 5))
        )
        self._events += new
        batch = [*others, *new, *known]
        self._chance.shuffle(batch)
        return batch

    def _matched(self, count: int) -> Iterator[dict[str, Any]]:
        chance = self._chance
        hour = len(self._paths) // FILES_AN_HOUR * SPAN_SECONDS
        for _ in range(count):
            account, user = chance.choice(ACCOUNTS), chance.choice(USERS)
            identity = {"type": "IAMUser", "userName": chance.choice(USERS), "accountId": account}
            name, fields = chance.choice(_KINDS)
            yield record(
                name,
                at=hour + chance.randrange(SPAN_SECONDS),
                userIdentity=identity,
                recipientAccountId=account,
                **{"requestParameters": {"userName": user}, **fields(user)},
            )

    def _lonely(self) -> Iterator[dict[str, Any]]:
        for place in range(LONELY_A_FILE):
            window = len(self._paths) * LONELY_A_FILE + place
            yield record("PutRolePolicy", at=LONELY_FROM + window * 300)


_KINDS: list[tuple[str, Callable[[str], dict[str, Any]]]] = [
    ("PutUserPolicy", lambda _: {}),
    ("CreatePolicy", lambda _: {}),
    ("CreateAccessKey", lambda _: {}),
    (
        "GetSecretValue",
        lambda _: {"eventSource": "secretsmanager.amazonaws.com", "errorCode": "AccessDenied"},
    ),
    (
        "AttachUserPolicy",
        lambda user: {
            "requestParameters": {
                "userName": user,
                "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
            }
        },
    ),
]
