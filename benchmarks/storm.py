"""A storm of matches: what counting costs beyond matching, and how much memory it takes.

    python -m benchmarks.storm                     1,000,000 events over 10,000 groups
    python -m benchmarks.storm --groups 1          100,000 events of one group, in ten parts

The floor is the match stage alone on the same deliveries, in the same process: inflate, decode,
match, and the matched records in full. Above it come de-duplication, counting, episodes, alerts in
the outbox, and commits to a database file, with full synchronisation.
"""

from __future__ import annotations

import argparse
import gc
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from isal import igzip

from detector.alerts.routing import Router
from detector.counting.context import Settings
from detector.envelopes.payload import Limits
from detector.matching import match_payload
from detector.pipeline import Pipeline
from detector.rules.loader import shipped_rules
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery, Payload
from detector.state.sqlite import SQLiteStore

RECORDS_A_FILE = 50
"""As many as CloudTrail's files hold in the mean."""

FILES_A_BATCH = 64
"""Deliveries in hand at most, by default: what waits is committed together."""

STORM_SECONDS = 290
"""All of it falls into one window of each group."""

START = 1_789_560_000
RULE = shipped_rules() / "cis" / "iam_policy_changes.yml"


def storm(events: int, groups: int, total: int, first: int = 0) -> Iterator[list[Delivery]]:
    """Yield batches of deliveries of matching events, spread over groups and time."""
    batch: list[Delivery] = []
    for number in range(first, first + events, RECORDS_A_FILE):
        records = [
            matching_record(index, index % groups, START + index * STORM_SECONDS // total)
            for index in range(number, min(number + RECORDS_A_FILE, first + events))
        ]
        body = igzip.compress(msgspec.json.encode({"Records": records}), compresslevel=1)
        payload = Payload(f"storm/{number}.json.gz", body, START + 600.0)
        batch.append(Delivery("storm", [payload], received_at=0.0))
        if len(batch) == FILES_A_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def matching_record(index: int, group: int, moment: int) -> dict[str, object]:
    """Return a record that the rule matches: of an account for each group, at an epoch's time."""
    account = f"{100_000_000_000 + group}"
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLE:{index % 20}",
            "arn": f"arn:aws:sts::{account}:assumed-role/storm/session-{index % 20}",
            "accountId": account,
            "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        },
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
        "eventSource": "iam.amazonaws.com",
        "eventName": "PutRolePolicy",
        "awsRegion": "us-east-1",
        "sourceIPAddress": f"198.51.100.{index % 200}",
        "userAgent": "aws-cli/2.15.0 Python/3.11.6 Linux/5.10 exe/x86_64 prompt/off",
        "requestParameters": {
            "roleName": f"role-{index}",
            "policyName": "storm",
            "policyDocument": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}',
        },
        "responseElements": None,
        "requestID": f"00000000-1111-2222-3333-{index:012d}",
        "eventID": f"aaaaaaaa-bbbb-cccc-dddd-{index:012d}",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }


def measure(
    pipeline: Pipeline, rules: RuleSet, batches: Iterator[list[Delivery]]
) -> tuple[float, float]:
    """Return the seconds that processing takes, and those of the match stage alone.

    In turns, batch by batch, so that a noisy moment meets both.
    """
    work = floor = 0.0
    for number, batch in enumerate(batches):
        before = time.perf_counter()
        pipeline.process(batch, float(START + 86_400 + number))
        after = time.perf_counter()
        for delivery in batch:
            for payload in delivery.payloads:
                for _ in match_payload(payload, rules, Limits()):
                    pass
        work += after - before
        floor += time.perf_counter() - after
    return work, floor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--parts", type=int, default=10, help="shown one by one")
    parser.add_argument("--folder", type=Path, default=None, help="where the database is written")
    arguments = parser.parse_args()
    rules = RuleSet.load(RULE)
    (rule,) = rules.rules.values()
    assert isinstance(rule, Rule)
    settings = Settings(routing=Router.to("a", "b"))
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as folder,
        SQLiteStore.open(Path(folder) / "state.sqlite3") as store,
    ):
        pipeline = Pipeline(rules, store, settings)
        total = total_floor = 0.0
        each = arguments.events // arguments.parts
        for part in range(arguments.parts):
            gc.collect()
            batches = storm(each, arguments.groups, arguments.events, part * each)
            work, floor = measure(pipeline, rules, batches)
            total, total_floor = total + work, total_floor + floor
            print(
                f"part {part + 1:>2}: {each / work:>8,.0f} events/s,"
                f" {work / floor:.2f} x the match stage, {1e6 * work / each:.0f} us an event",
                flush=True,
            )
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    events = each * arguments.parts
    print(f"all    : {events / total:>8,.0f} events/s, {total / total_floor:.2f} x the match stage")
    print(f"peak   : {peak:.0f} MiB resident, state {size / (1 << 20):.0f} MiB")


if __name__ == "__main__":
    main()
