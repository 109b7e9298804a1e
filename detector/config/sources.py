"""Where deliveries come from."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from detector.config.section import Named, Section, account, between, positive, url
from detector.envelopes.firehose import MAX_REQUEST_BYTES
from detector.envelopes.payload import MAX_INFLATED_BYTES
from detector.quarantine.entry import QUARANTINE

_STREAM_ARN = re.compile(
    r"arn:aws[a-z-]*:firehose:[a-z0-9-]+:[0-9]{12}:deliverystream/[\w.-]{1,64}"
)
_KINESIS_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_KINESIS_ARN = re.compile(r"arn:[\w-]+:kinesis:[\w-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}")
_CONSUMER_ARN = re.compile(_KINESIS_ARN.pattern + r"/consumer/[a-zA-Z0-9_.-]+:[0-9]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")

MAX_OBJECT_BYTES = 1 << 30
"""Firehose puts 128 MiB into an object at most, and CloudTrail 50. What is large lies on disk while
it is in hand, so that this bounds the disk."""

MAX_ACCESS_KEY_BYTES = 4096
"""Firehose sends no longer one."""


class _Source(Named, frozen=True, kw_only=True):
    """A source that is `paused` fetches nothing; it may be paused and resumed by a reload."""

    paused: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == QUARANTINE:
            raise ValueError(f"name must not be {QUARANTINE}: so is called what is replayed")


class DirectorySourceConfig(_Source, frozen=True, kw_only=True, tag_field="type", tag="directory"):
    """Log files in a folder and below: those there, then new ones.

    A file is read once neither its size nor its time of change has moved for `settle_seconds`.
    """

    path: str
    poll_seconds: float = 1.0
    settle_seconds: float = 2.0
    max_file_bytes: int = MAX_INFLATED_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "poll_seconds", "max_file_bytes")


class BucketConfig(Section, frozen=True, kw_only=True):
    """A bucket whose objects may be read: all, or those under some prefixes.

    S3 refuses to read it if it is not of the account `owner`.
    """

    bucket: str
    prefixes: tuple[str, ...] = ()
    owner: str | None = None

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ValueError("bucket is the name of a bucket, without s3:// and without a key")
        if "" in self.prefixes:
            raise ValueError("prefixes has an empty one: leave prefixes out to allow every key")
        account(self, "owner")


class S3SQSSourceConfig(_Source, frozen=True, kw_only=True, tag_field="type", tag="s3_sqs"):
    """S3 objects announced on an SQS queue.

    `buckets` are those that may be read, whatever a message says; `bucket_owner` is the account
    of each of them that names no `owner`. `visibility_timeout_seconds` is how long a message stays
    hidden unless extended, and so how long a crash delays what was in hand. `request_payer` accepts
    the costs of reading a bucket that has its readers pay.
    """

    queue_url: str
    buckets: tuple[BucketConfig, ...] | Literal["any"] | None = None
    bucket_owner: str | None = None
    request_payer: bool = False
    region: str | None = None
    endpoint_url: str | None = None
    receivers: int = 2
    concurrency: int = 16
    visibility_timeout_seconds: int = 120
    wait_seconds: int = 20
    max_object_bytes: int = MAX_OBJECT_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "receivers", "concurrency", "max_object_bytes")
        between(self, "visibility_timeout_seconds", 6, 43_200)
        between(self, "wait_seconds", 0, 20)
        url(self, "queue_url")
        account(self, "bucket_owner")
        if urlsplit(self.queue_url).path.endswith(".fifo"):
            raise ValueError(
                "queue_url is a FIFO queue, which keeps back all that follows on a message that"
                " cannot be read; order does not matter here: use a standard queue"
            )
        if self.buckets is None:
            raise ValueError(
                "buckets is missing: list those that may be read, as in"
                " `buckets: [{bucket: my-trail}]`, or write `buckets: any` to read whatever a"
                " message on the queue names"
            )
        names = [] if self.buckets == "any" else [item.bucket for item in self.buckets]
        if len(set(names)) < len(names):
            raise ValueError("buckets names one twice: give its prefixes in one entry")


class FanOutConfig(Section, frozen=True, kw_only=True):
    """A registered consumer of a Kinesis stream: by its ARN, or by its name.

    `register` has one of this name registered if there is none. It is never deregistered: another
    start goes on with it.
    """

    consumer_arn: str | None = None
    consumer_name: str | None = None
    register: bool = False

    def __post_init__(self) -> None:
        if (self.consumer_arn is None) == (self.consumer_name is None):
            raise ValueError("fan_out needs either consumer_arn or consumer_name")
        if self.consumer_arn is not None and not _CONSUMER_ARN.fullmatch(self.consumer_arn):
            raise ValueError(
                "consumer_arn is like arn:aws:kinesis:us-east-1:111122223333:stream/NAME"
                "/consumer/NAME:1700000000; a consumer's name goes into consumer_name"
            )
        if self.consumer_name is not None and not _KINESIS_NAME.fullmatch(self.consumer_name):
            raise ValueError(
                "consumer_name is letters, digits, '_', '.' and '-', at most 128;"
                " an ARN goes into consumer_arn"
            )
        if self.register and self.consumer_name is None:
            raise ValueError("register needs consumer_name: an ARN is of one that is registered")


class KinesisSourceConfig(_Source, frozen=True, kw_only=True, tag_field="type", tag="kinesis"):
    """The records of a Kinesis data stream, named or by its ARN.

    `start` is where the first start ever begins: TRIM_HORIZON with the oldest record that the
    stream has, LATEST with what comes from then on, or a time with its offset from UTC. It is kept
    in the state; from then on the positions there count. TRIM_HORIZON is the default, as reading
    too much costs time, and reading too little an alert.

    Without `fan_out` each shard is polled: every `poll_seconds` when there is nothing to catch up
    with, by `concurrency` calls at a time. With it, a consumer with a throughput of its own is
    used, to which Kinesis pushes.
    """

    stream: str
    region: str | None = None
    endpoint_url: str | None = None
    start: str = "TRIM_HORIZON"
    fan_out: FanOutConfig | None = None
    poll_seconds: float = 1.0
    concurrency: int = 6
    """As many answers of 10 MiB as the default of `limits.max_bytes_in_hand` has room for."""
    shards_poll_seconds: float = 60.0
    """How often the shards are listed beside the times when one of them ends."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "poll_seconds", "concurrency", "shards_poll_seconds")
        if not (_KINESIS_NAME.fullmatch(self.stream) or _KINESIS_ARN.fullmatch(self.stream)):
            raise ValueError(
                "stream is a stream's name, or its ARN like"
                " arn:aws:kinesis:us-east-1:111122223333:stream/NAME"
            )
        if self.endpoint_url is not None:
            url(self, "endpoint_url")
        self.start_time()  # refuses what is none

    @property
    def stream_name(self) -> str:
        """The name of the stream, also where its ARN is given."""
        return self.stream.rpartition("/")[2]

    @property
    def stream_arn(self) -> str | None:
        """The ARN of the stream, where it is given."""
        return self.stream if self.stream.startswith("arn:") else None

    def start_time(self) -> float | None:
        """Return the time in `start`, in seconds since the epoch; None for one of the words.

        Raises:
            ValueError: it is neither.
        """
        if self.start in {"TRIM_HORIZON", "LATEST"}:
            return None
        try:
            moment = datetime.fromisoformat(self.start)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ValueError(
                "start is TRIM_HORIZON, LATEST, or a time with its offset from UTC"
                " like 2026-12-31T22:00:00Z"
            )
        return moment.timestamp()


class StdinSourceConfig(_Source, frozen=True, kw_only=True, tag_field="type", tag="stdin"):
    """JSON documents piped in on standard input. The service ends when it does, and all others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.paused:
            raise ValueError("paused: what is in a pipe cannot wait; stop what writes to it")


class TLSConfig(Section, frozen=True, kw_only=True):
    """A certificate with its chain, and its private key: PEM files, read again when they change."""

    certificate: str
    key: str


class FirehoseSourceConfig(_Source, frozen=True, kw_only=True, tag_field="type", tag="firehose"):
    """Amazon Data Firehose streams that deliver to us as their HTTP endpoint.

    Each of `access_keys` is good, so that a new one can be brought in before the old one goes.
    `stream_arns` are the streams that may deliver; empty, any that has a key. A request must have
    come in whole within `read_timeout_seconds`. Port 0 takes a free one.
    """

    secrets = ("access_keys",)

    host: str = "127.0.0.1"
    port: int
    path: str = "/"
    access_keys: tuple[str, ...] = ()
    accept_without_access_key: bool = False
    stream_arns: tuple[str, ...] = ()
    tls: TLSConfig | None = None
    max_request_bytes: int = MAX_REQUEST_BYTES
    read_timeout_seconds: float = 60.0
    concurrency: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        between(self, "port", 0, 65_535)
        between(self, "read_timeout_seconds", 1, 120)
        positive(self, "max_request_bytes", "concurrency")
        if not self.path.startswith("/") or "?" in self.path or "#" in self.path:
            raise ValueError("path begins with / and has neither ? nor #")
        if bool(self.access_keys) == self.accept_without_access_key:
            raise ValueError(
                "name at least one of access_keys, or, if whoever reaches the port may send events,"
                " say accept_without_access_key: true instead"
            )
        for index, key in enumerate(self.access_keys):
            if not key or key != key.strip() or not key.isprintable():
                raise ValueError(
                    f"access_keys[{index}] is empty, or has white space around it or signs that no"
                    " header can carry: no request would have it"
                )
            if len(key.encode()) > MAX_ACCESS_KEY_BYTES:
                raise ValueError(f"access_keys[{index}] has more than {MAX_ACCESS_KEY_BYTES} bytes")
        for arn in self.stream_arns:
            if not _STREAM_ARN.fullmatch(arn):
                raise ValueError(
                    "stream_arns are like"
                    " arn:aws:firehose:us-east-1:111122223333:deliverystream/name"
                )


SourceConfig = (
    DirectorySourceConfig
    | S3SQSSourceConfig
    | KinesisSourceConfig
    | StdinSourceConfig
    | FirehoseSourceConfig
)
