"""The configuration: one YAML file, one typed tree, no key that nobody reads.

Times are in seconds, sizes in bytes. Relative paths are taken from the configuration file's folder.
A string may hold `${env:NAME}` or `${file:PATH}`: secrets belong there, not in the file.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from detector.alerts.silence import Silence
from detector.counting.context import (
    LATE_AFTER_SECONDS,
    MAX_GROUPS_PER_RULE,
    QUIET_SECONDS,
    RETENTION_SECONDS,
)
from detector.document import Document, Key, read
from detector.envelopes.firehose import MAX_REQUEST_BYTES
from detector.envelopes.log_file import Trail, trail
from detector.envelopes.payload import MAX_INFLATED_BYTES, MAX_VALUES
from detector.errors import ConfigError, Place
from detector.quarantine.entry import QUARANTINE
from detector.quarantine.keeping import MAX_ENTRY_BYTES
from detector.rules.loader import shipped_rules
from detector.rules.rule import Status
from detector.typed_document import convert

_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_STREAM_ARN = re.compile(
    r"arn:aws[a-z-]*:firehose:[a-z0-9-]+:[0-9]{12}:deliverystream/[\w.-]{1,64}"
)
_KINESIS_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_KINESIS_ARN = re.compile(r"arn:[\w-]+:kinesis:[\w-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}")
_CONSUMER_ARN = re.compile(_KINESIS_ARN.pattern + r"/consumer/[a-zA-Z0-9_.-]+:[0-9]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_ACCOUNT = re.compile(r"[0-9]{12}")
_DAY = 86_400.0

MAX_OBJECT_BYTES = 1 << 30
"""Firehose puts 128 MiB into an object at most, and CloudTrail 50. What is large lies on disk while
it is in hand, so that this bounds the disk."""

MAX_ACCESS_KEY_BYTES = 4096
"""Firehose sends no longer one."""

SHIPPED = "shipped"
"""Stands among the rules for the shipped packs."""


class Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A part of the configuration; unknown keys in it are errors."""


def _positive(section: Section, *names: str) -> None:
    for name in names:
        if not getattr(section, name) > 0:
            raise ValueError(f"{name} must be more than 0")


def _between(section: Section, name: str, least: int, most: int) -> None:
    if not least <= getattr(section, name) <= most:
        raise ValueError(f"{name} must be from {least} to {most}")


def _url(section: Section, name: str) -> None:
    parts = urlsplit(getattr(section, name))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{name} must be an http:// or https:// address")


def _account(section: Section, name: str) -> None:
    value = getattr(section, name)
    if value is not None and not _ACCOUNT.fullmatch(value):
        raise ValueError(f'{name} is an account id of 12 digits, in quotes: "111122223333"')


class _Named(Section, frozen=True, kw_only=True):
    name: str = ""

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError("name is lower-case letters, digits, '_' and '-', at most 63")


class _Source(_Named, frozen=True, kw_only=True):
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
        _positive(self, "poll_seconds", "max_file_bytes")


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
        _account(self, "owner")


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
        _positive(self, "receivers", "concurrency", "max_object_bytes")
        _between(self, "visibility_timeout_seconds", 6, 43_200)
        _between(self, "wait_seconds", 0, 20)
        _url(self, "queue_url")
        _account(self, "bucket_owner")
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
        _positive(self, "poll_seconds", "concurrency", "shards_poll_seconds")
        if not (_KINESIS_NAME.fullmatch(self.stream) or _KINESIS_ARN.fullmatch(self.stream)):
            raise ValueError(
                "stream is a stream's name, or its ARN like"
                " arn:aws:kinesis:us-east-1:111122223333:stream/NAME"
            )
        if self.endpoint_url is not None:
            _url(self, "endpoint_url")
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
        _between(self, "port", 0, 65_535)
        _between(self, "read_timeout_seconds", 1, 120)
        _positive(self, "max_request_bytes", "concurrency")
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

    def __repr__(self) -> str:
        """Leave out the keys: what is shown somewhere by mistake must not hold a secret."""
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name != "access_keys"
        ]
        return f"FirehoseSourceConfig({', '.join(shown)})"


class StdoutSinkConfig(_Named, frozen=True, kw_only=True, tag_field="type", tag="stdout"):
    """Standard output: text on a terminal, one JSON document a line otherwise."""

    format: Literal["auto", "text", "json"] = "auto"


class WebhookSinkConfig(_Named, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """An HTTP endpoint that takes each alert as a JSON POST."""

    url: str
    headers: dict[str, str] = {}
    timeout_seconds: float = 15.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "timeout_seconds")
        _url(self, "url")


class SNSSinkConfig(_Named, frozen=True, kw_only=True, tag_field="type", tag="sns"):
    """An SNS topic that gets each alert as a JSON message with attributes for filter policies."""

    topic_arn: str
    region: str | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.topic_arn.count(":") != 5 or not self.topic_arn.startswith("arn:"):  # noqa: PLR2004
            raise ValueError("topic_arn is like arn:aws:sns:us-east-1:111122223333:alerts")


P = TypeVar("P", bound=_Named)
SourceConfig = (
    DirectorySourceConfig
    | S3SQSSourceConfig
    | KinesisSourceConfig
    | StdinSourceConfig
    | FirehoseSourceConfig
)
SinkConfig = StdoutSinkConfig | WebhookSinkConfig | SNSSinkConfig


class StateConfig(Section, frozen=True, kw_only=True):
    """Where the durable state lies, and how long what is done with is kept.

    That are the events seen, and alerts that were sent; for windows see `WindowsConfig`. The
    default of 14 days is SQS's longest retention: no queue can bring an event twice that lie
    further apart.
    """

    path: str = "state/detector.sqlite3"
    retention_seconds: float = 14 * _DAY

    def __post_init__(self) -> None:
        _positive(self, "retention_seconds")


class QuarantineConfig(Section, frozen=True, kw_only=True):
    """Where what cannot be understood is kept, where no queue keeps it.

    `path` is a folder, or s3://bucket/prefix; without it the folder `quarantine` beside the state.
    Of one body `max_entry_bytes` are kept. The folder holds entries up to `max_bytes` and for
    `retention_seconds`, by default for long enough that a fix can be made and released; under a
    prefix that is a lifecycle rule's matter.
    """

    path: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    max_bytes: int = 1 << 30
    max_entry_bytes: int = MAX_ENTRY_BYTES
    retention_seconds: float = 30 * _DAY

    def __post_init__(self) -> None:
        _positive(self, "retention_seconds")
        _between(self, "max_entry_bytes", 1, MAX_INFLATED_BYTES)
        if self.max_bytes < 2 * self.max_entry_bytes:
            raise ValueError("max_bytes must be at least twice max_entry_bytes")
        if self.is_in_s3 and not urlsplit(self.path).netloc:
            raise ValueError("path is a folder, or like s3://bucket/prefix")

    @property
    def is_in_s3(self) -> bool:
        """Whether entries are objects in a bucket, not files in a folder."""
        return self.path.startswith("s3://")


class AlertsConfig(Section, frozen=True, kw_only=True):
    """How alerts are made.

    An event that CloudTrail delivered more than `late_after_seconds` after it happened is late. An
    alert that was sent is sent again, with its later events, `update_interval_seconds` after the
    last time at the earliest. Windows over the threshold between which less than `quiet_seconds`
    pass are one episode; it is resolved when it has been quiet for so long.
    """

    late_after_seconds: float = LATE_AFTER_SECONDS
    update_interval_seconds: float = 60.0
    quiet_seconds: float = QUIET_SECONDS

    def __post_init__(self) -> None:
        _positive(self, "late_after_seconds", "update_interval_seconds", "quiet_seconds")


class WindowsConfig(Section, frozen=True, kw_only=True):
    """How long windows wait for late events, by event time.

    A window is retained until events of so many seconds after its end have been delivered. What
    comes later still raises an alert of its own.
    """

    retention_seconds: float = RETENTION_SECONDS

    def __post_init__(self) -> None:
        _positive(self, "retention_seconds")


class ExpectedTrail(Section, frozen=True, kw_only=True):
    """An account and a region of which log files are expected."""

    account: str
    region: str

    def __post_init__(self) -> None:
        if self.as_trail() is None:
            raise ValueError(
                'account and region are like {account: "111122223333", region: us-east-1}'
            )

    def as_trail(self) -> Trail | None:
        """Return the trail, None if there can be no such one."""
        return trail(self.account, self.region)


class SilentSourcesConfig(Section, frozen=True, kw_only=True):
    """When to say that nothing is heard: of `expected` trails, of those that are learned, at all.

    The default of two hours is twice the time between two digest files: where these are all that
    comes at night, one that is a little late is no alert.
    """

    enabled: bool = True
    after_seconds: float = 7200.0
    learn: bool = True
    expected: tuple[ExpectedTrail, ...] = ()

    def __post_init__(self) -> None:
        if not self.after_seconds >= 1:
            raise ValueError("after_seconds must be 1 or more")


class LimitsConfig(Section, frozen=True, kw_only=True):
    """Caps that bound memory; reaching one is counted, and a payload that does is rejected."""

    max_inflated_bytes: int = MAX_INFLATED_BYTES
    max_values: int = MAX_VALUES
    max_deliveries_in_hand: int = 64
    max_bytes_in_hand: int = 64 << 20
    max_groups_per_rule: int = MAX_GROUPS_PER_RULE
    """Groups of a rule that are counted apart; the others are counted together."""

    def __post_init__(self) -> None:
        names = ("max_inflated_bytes", "max_values", "max_deliveries_in_hand", "max_bytes_in_hand")
        _positive(self, *names, "max_groups_per_rule")


class TelemetryConfig(Section, frozen=True, kw_only=True):
    """Where /metrics, /healthz and /readyz are served; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 9464

    def __post_init__(self) -> None:
        _between(self, "port", 0, 65_535)


class LogConfig(Section, frozen=True, kw_only=True):
    """The detector's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration. Without `rules` the shipped rule packs are used.

    `placeholders` is a file of the values that placeholders in Sigma rules stand for. `rule_status`
    gives rules, by their ids, another status than their files do: to promote a staged rule, or to
    silence one, without an edit of a pack that somebody else maintains. `silences` are of alerts
    that are expected: see `detector.alerts.silence`.
    """

    sources: tuple[SourceConfig, ...]
    sinks: tuple[SinkConfig, ...] = (StdoutSinkConfig(),)
    rules: tuple[str, ...] = ()
    rules_poll_seconds: float = 5.0
    """How often rule files are looked at. A change counts at the second look that finds it, so that
    an edit is in force after twice this time at most; smaller ones only cost looks."""
    placeholders: str | None = None
    rule_status: dict[str, Status] = {}
    silences: tuple[Silence, ...] = ()
    state: StateConfig = StateConfig()
    quarantine: QuarantineConfig = QuarantineConfig()
    alerts: AlertsConfig = AlertsConfig()
    windows: WindowsConfig = WindowsConfig()
    silent_sources: SilentSourcesConfig = SilentSourcesConfig()
    limits: LimitsConfig = LimitsConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    log: LogConfig = LogConfig()
    drain_seconds: float = 25.0
    """Shorter than the 30 s that container runtimes wait between SIGTERM and SIGKILL."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources is empty: name at least one")
        _positive(self, "drain_seconds", "rules_poll_seconds")


def load_config(path: Path) -> Config:
    """Read a configuration file; paths in the result are absolute, every part has its name.

    Raises:
        ConfigError: the file cannot be read or something in it is wrong; with its place.
    """
    document = read(path, ConfigError)
    folder = path.resolve().parent
    data = _resolve(document.data, [], document, folder)
    document = replace(document, data=data)
    _check_statuses(document)
    config = convert(document, Config, ConfigError)
    config = msgspec.structs.replace(
        config,
        sources=tuple(
            _absolute(source, folder) for source in _with_names(config.sources, "sources", document)
        ),
        sinks=_with_names(config.sinks, "sinks", document),
        rules=tuple(
            str(shipped_rules() if name == SHIPPED else folder / name) for name in config.rules
        ),
        placeholders=None if config.placeholders is None else str(folder / config.placeholders),
        state=msgspec.structs.replace(config.state, path=str(folder / config.state.path)),
        quarantine=_placed(config, folder),
    )
    _check_quarantine(config, document)
    return config


def _placed(config: Config, folder: Path) -> QuarantineConfig:
    """Return the quarantine's part with a path: an absolute one where it is a folder."""
    quarantine = config.quarantine
    if quarantine.is_in_s3:
        return quarantine
    path = folder / quarantine.path
    if not quarantine.path:
        path = (folder / config.state.path).parent / QUARANTINE
    return msgspec.structs.replace(quarantine, path=str(path))


def _check_quarantine(config: Config, document: Document) -> None:
    """Refuse a quarantine that a source would read: each entry would become another one."""
    if config.quarantine.is_in_s3:
        return
    path = Path(config.quarantine.path).resolve()
    for source in config.sources:
        if isinstance(source, DirectorySourceConfig) and path.is_relative_to(
            Path(source.path).resolve()
        ):
            raise ConfigError(
                f"the quarantine {path} lies in the folder that the source {source.name} reads",
                place=document.place(["quarantine", "path"]),
                remedy="set quarantine.path to a folder outside of it",
            )


def _absolute(source: SourceConfig, folder: Path) -> SourceConfig:
    """Return a source whose paths on disk do not depend on where the service is started."""
    if isinstance(source, DirectorySourceConfig):
        return msgspec.structs.replace(source, path=str(folder / source.path))
    if isinstance(source, FirehoseSourceConfig) and source.tls is not None:
        tls = msgspec.structs.replace(
            source.tls,
            certificate=str(folder / source.tls.certificate),
            key=str(folder / source.tls.key),
        )
        return msgspec.structs.replace(source, tls=tls)
    return source


def _resolve(value: object, keys: list[Key], document: Document, folder: Path) -> object:
    """Replace references in every string below a value."""
    if isinstance(value, dict):
        return {key: _resolve(item, [*keys, key], document, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [
            _resolve(item, [*keys, index], document, folder) for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda found: _referred(found, document.place(keys), folder), value)


def _referred(reference: re.Match[str], place: Place, folder: Path) -> str:
    kind, name = reference.groups()
    if kind == "env":
        if name not in os.environ:
            raise ConfigError(
                f"the environment variable {name} is not set", place=place, remedy=f"set {name}"
            )
        return os.environ[name]
    try:
        return (folder / name).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"the file {name} cannot be read: {why}", place=place) from error


def _check_statuses(document: Document) -> None:
    """Refuse a status that is none; `convert` could not say of which rule it is."""
    statuses = document.data.get("rule_status") if isinstance(document.data, dict) else None
    known = get_args(Status)
    for rule_id, status in statuses.items() if isinstance(statuses, dict) else ():
        if status not in known:
            nearest = difflib.get_close_matches(str(status), known, n=1)
            meant = f"did you mean {nearest[0]}? " if nearest else ""
            raise ConfigError(
                f"rule_status.{rule_id} has a value that is not known",
                place=document.place(["rule_status", rule_id]),
                remedy=f"{meant}Known here: {', '.join(known)}",
            )


def _with_names(parts: tuple[P, ...], key: str, document: Document) -> tuple[P, ...]:
    """Give a part without a name that of its type, and refuse two of the same name."""
    named: dict[str, P] = {}
    for index, part in enumerate(parts):
        name = part.name or str(part.__struct_config__.tag)
        if name in named:
            raise ConfigError(
                f"two {key} have the name {name}",
                place=document.place([key, index]),
                remedy="give each a name of its own: its state is kept under that name",
            )
        named[name] = msgspec.structs.replace(part, name=name)
    return tuple(named.values())
