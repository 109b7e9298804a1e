"""A Kinesis stream as its owner sees it: put into, split and merged."""

from __future__ import annotations

import gzip
import json
import random
import uuid
from collections.abc import Sequence
from typing import Any

from localstack_client.session import Session

from tests.aws import REGION
from tests.records import ACCOUNT
from tests.waiting import wait_for

PUT_AT_ONCE = 100
"""Records in a call; Kinesis takes 500."""


class KinesisStream:
    """A stream of its own name, on a server at `host` (host and port)."""

    def __init__(self, host: str, shards: int, *, seed: int = 1) -> None:
        self.endpoint = f"http://{host}"
        self.name = f"trail-{uuid.uuid4().hex[:12]}"
        self.client = Session(
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name=REGION,
            localstack_host=host,
        ).client("kinesis")
        self.chance = random.Random(seed)  # noqa: S311
        self.client.create_stream(StreamName=self.name, ShardCount=shards)
        self._wait_until_active()

    def config(self, **changes: Any) -> dict[str, Any]:
        """Return the configuration of a source of this stream."""
        return {
            "type": "kinesis",
            "stream": self.name,
            "region": REGION,
            "endpoint_url": self.endpoint,
            "poll_seconds": 0.2,
            "shards_poll_seconds": 2,
            **changes,
        }

    def put(self, bodies: Sequence[bytes]) -> None:
        """Put records, spread over the shards."""
        for first in range(0, len(bodies), PUT_AT_ONCE):
            entries = [
                {"Data": body, "PartitionKey": str(self.chance.random())}
                for body in bodies[first : first + PUT_AT_ONCE]
            ]
            while entries:
                answer = self.client.put_records(StreamName=self.name, Records=entries)
                results = answer["Records"]
                entries = [
                    entry
                    for entry, result in zip(entries, results, strict=True)
                    if "ErrorCode" in result
                ]

    def open_shards(self) -> list[dict[str, Any]]:
        """Return the shards that take records, by their keys."""
        listed = self.client.list_shards(StreamName=self.name)["Shards"]
        shards = [
            shard for shard in listed if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        ]
        return sorted(shards, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self) -> None:
        """Split one shard in the middle."""
        shard = self.chance.choice(self.open_shards())
        keys = shard["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
        self.client.split_shard(
            StreamName=self.name,
            ShardToSplit=shard["ShardId"],
            NewStartingHashKey=str(middle),
        )
        self._wait_until_active()

    def merge(self) -> None:
        """Merge two shards whose keys follow on one another."""
        shards = self.open_shards()
        place = self.chance.randrange(len(shards) - 1)
        self.client.merge_shards(
            StreamName=self.name,
            ShardToMerge=shards[place]["ShardId"],
            AdjacentShardToMerge=shards[place + 1]["ShardId"],
        )
        self._wait_until_active()

    def _wait_until_active(self) -> None:
        def is_active() -> bool:
            answer = self.client.describe_stream_summary(StreamName=self.name)
            return bool(answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")

        wait_for(is_active)


def subscribed(records: Sequence[dict[str, Any]], kind: str = "DATA_MESSAGE") -> bytes:
    """Return log events as a CloudWatch Logs subscription puts them into a stream."""
    message = {
        "messageType": kind,
        "owner": ACCOUNT,
        "logGroup": "CloudTrail/logs",
        "logStream": f"{ACCOUNT}_CloudTrail_{REGION}",
        "subscriptionFilters": ["detector"],
        "logEvents": [
            {"id": f"{number:056d}", "timestamp": 1432826855000, "message": json.dumps(item)}
            for number, item in enumerate(records)
        ],
    }
    return gzip.compress(json.dumps(message).encode())
