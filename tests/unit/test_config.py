from pathlib import Path

import pytest

from detector.config import (
    BucketConfig,
    Config,
    DirectorySourceConfig,
    FirehoseSourceConfig,
    KinesisSourceConfig,
    S3SQSSourceConfig,
    StdoutSinkConfig,
    WebhookSinkConfig,
    load_config,
)
from detector.errors import ConfigError

FIREHOSE = "sources: [{type: firehose, port: 1, %s}]"
SOURCES = "sources: [{type: directory, path: logs}]\n"
QUEUE = "sources: [{type: s3_sqs, queue_url: 'http://q'%s}]"


def load(folder: Path, text: str) -> Config:
    path = folder / "detector.yaml"
    path.write_text(text)
    return load_config(path)


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    config = load(tmp_path, SOURCES)
    assert config.sources == (DirectorySourceConfig(name="directory", path=f"{tmp_path}/logs"),)
    assert config.sinks == (StdoutSinkConfig(name="stdout"),)
    assert config.state.path == f"{tmp_path}/state/detector.sqlite3"


def test_relative_paths_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        SOURCES + "rules: [mine, /etc/rules]\nplaceholders: values.yml\nstate: {path: /var/x.db}",
    )
    assert config.rules == (f"{tmp_path}/mine", "/etc/rules")
    assert config.placeholders == f"{tmp_path}/values.yml"
    assert config.state.path == "/var/x.db"


def test_a_secret_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example/a")
    (tmp_path / "token").write_text("s3cret\n")
    config = load(
        tmp_path,
        SOURCES + "sinks: [{type: webhook, url: '${env:HOOK}', headers:"
        " {Authorization: 'Bearer ${file:token}'}}]",
    )
    assert config.sinks == (
        WebhookSinkConfig(
            name="webhook",
            url="https://hooks.example/a",
            headers={"Authorization": "Bearer s3cret"},
        ),
    )


def test_rules_get_other_statuses_by_their_ids(tmp_path: Path) -> None:
    config = load(tmp_path, SOURCES + "rule_status: {iam.1: stable, 20: test}")
    assert config.rule_status == {"iam.1": "stable", "20": "test"}


def test_the_example_that_make_run_uses_is_good() -> None:
    folder = Path(__file__).parent.parent.parent / "deploy" / "local"
    config = load_config(folder / "detector.yaml")
    assert [source.name for source in config.sources] == ["logs"]


def test_every_kind_of_source_and_sink_can_be_named(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
sources:
  - type: s3_sqs
    queue_url: "https://sqs.us-east-1.amazonaws.com/111122223333/q"
    buckets: [{bucket: my-trail, prefixes: [AWSLogs/], owner: "111122223333"}, {bucket: other}]
  - {type: directory, name: more, path: x}
  - {type: firehose, port: 8443, access_keys: [a], tls: {certificate: a.crt, key: /b.key}}
sinks:
  - {type: stdout, format: json}
  - {type: sns, topic_arn: "arn:aws:sns:us-east-1:111122223333:alerts"}
  - {type: webhook, url: "https://hooks.example/"}
""",
    )
    assert isinstance(config.sources[0], S3SQSSourceConfig)
    assert [part.name for part in config.sources] == ["s3_sqs", "more", "firehose"]
    hose = config.sources[2]
    assert isinstance(hose, FirehoseSourceConfig)
    assert hose.tls is not None
    assert (hose.tls.certificate, hose.tls.key) == (f"{tmp_path}/a.crt", "/b.key")
    assert config.sources[0].buckets == (
        BucketConfig(bucket="my-trail", prefixes=("AWSLogs/",), owner="111122223333"),
        BucketConfig(bucket="other"),
    )
    assert [part.name for part in config.sinks] == ["stdout", "sns", "webhook"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source: []", "1:1: unknown key source; did you mean sources? Known here: sources, sinks"),
        (SOURCES + "sinkz: []", "2:1: unknown key sinkz; did you mean sinks?"),
        (
            "sources: [{type: directory, path: x, setle_seconds: 1}]",
            "1:38: unknown key sources[0].setle_seconds; did you mean settle_seconds?",
        ),
        ("sinks: []", "1:1: sources is missing; add sources"),
        ("sources: [{type: directory}]", "1:11: sources[0].path is missing; add sources[0].path"),
        ("sources: [{path: x}]", "1:11: sources[0].type is missing"),
        (
            "sources: [{type: directry, path: x}]",
            "1:18: sources[0].type has a value that is not known; did you mean directory?"
            " Known here: directory, s3_sqs, kinesis, stdin, firehose",
        ),
        ("sources: x", "1:10: sources must be a list, not a string"),
        ("sources: []", "1:1: sources is empty: name at least one"),
        ("x", "1:1: the document must be a mapping, not a string"),
        (
            SOURCES + "telemetry: {port: '9464'}",
            "2:19: telemetry.port must be a whole number, not a string",
        ),
        (SOURCES + "telemetry: {port: 70000}", "port must be from 0 to 65535"),
        (
            SOURCES + "log: {level: warn}",
            "2:14: log.level has a value that is not known; did you mean warning?",
        ),
        (SOURCES + "limits: {max_values: 0}", "max_values must be more than 0"),
        (SOURCES + "rules_poll_seconds: 0", "rules_poll_seconds must be more than 0"),
        (SOURCES + "rule_status: [a]", "2:14: rule_status must be a mapping, not a list"),
        (
            SOURCES + "rule_status: {a: stable, b: tset}",
            "2:29: rule_status.b has a value that is not known; did you mean test? Known here:"
            " stable, test, experimental",
        ),
        (SOURCES + "rule_status: {a: [test]}", "2:18: rule_status.a has a value that is not known"),
        (
            SOURCES + "silent_sources: {after_seconds: 0.5}",
            "2:17: silent_sources: after_seconds must be 1 or more",
        ),
        (
            SOURCES + "silent_sources: {expected: [{account: 111122223333, region: us-east-1}]}",
            "2:39: silent_sources.expected[0].account must be a string, not a whole number",
        ),
        (
            SOURCES + "silent_sources: {expected: [{account: '1', region: us-east-1}]}",
            'account and region are like {account: "111122223333", region: us-east-1}',
        ),
        (
            SOURCES + "silent_sources: {expect: []}",
            "unknown key silent_sources.expect; did you mean expected?",
        ),
        (SOURCES + "drain_seconds: -1", "drain_seconds must be more than 0"),
        ("sources: [{type: directory, path: x, name: Bad Name}]", "name is lower-case letters"),
        (
            "sources: [{type: directory, path: a}, {type: directory, path: b}]",
            "1:39: two sources have the name directory; give each a name of its own",
        ),
        (
            SOURCES + "sinks: [{type: webhook, url: 'ftp://x'}]",
            "url must be an http:// or https:// address",
        ),
        (SOURCES + "sinks: [{type: webhook, url: '${env:NO_SUCH}'}]", "2:30: the environment"),
        (SOURCES + "sinks: [{type: webhook, url: '${file:nope}'}]", "2:30: the file nope cannot"),
        (SOURCES + "sinks: [{type: sns, topic_arn: alerts}]", "topic_arn is like arn:aws:sns:"),
        (
            "sources: [{type: s3_sqs, queue_url: q}]",
            "queue_url must be an http:// or https:// address",
        ),
        (
            "sources: [{type: s3_sqs, queue_url: 'http://q', wait_seconds: 30}]",
            "wait_seconds must be from 0 to 20",
        ),
        (
            "sources: [{type: firehose, port: 1}]",
            "1:11: sources[0]: name at least one of access_keys, or, if whoever reaches the port"
            " may send events, say accept_without_access_key: true instead",
        ),
        (FIREHOSE % "access_keys: [a], accept_without_access_key: true", "access_keys, or, if"),
        (FIREHOSE % "access_keys: ['']", "access_keys[0] is empty, or has white space around it"),
        (FIREHOSE % "access_keys: [a, ' b']", "access_keys[1] is empty, or has white space"),
        (FIREHOSE % 'access_keys: [é, "a\\nb"]', "access_keys[1] is empty, or has white space"),
        (FIREHOSE % f"access_keys: [{'x' * 4097}]", "access_keys[0] has more than 4096 bytes"),
        (FIREHOSE % "access_keys: [a], path: hose", "path begins with / and has neither ? nor #"),
        (FIREHOSE % "access_keys: [a], stream_arns: [trail]", "stream_arns are like arn:aws:fire"),
        (FIREHOSE % "access_keys: [a], read_timeout_seconds: 0", "must be from 1 to 120"),
        (FIREHOSE % "access_keys: [a], tls: {certificate: x}", "sources[0].tls.key is missing"),
        (QUEUE % "", "buckets is missing: list those that may be read"),
        (QUEUE % ", buckets: all", "sources[0].buckets"),
        (QUEUE % ", buckets: [{bucket: 's3://trail'}]", "bucket is the name of a bucket"),
        (QUEUE % ", buckets: [{bucket: trail, prefixes: ['']}]", "prefixes has an empty one"),
        (QUEUE % ", buckets: [{bucket: trail, prefix: [a]}]", "did you mean prefixes?"),
        (QUEUE % ", buckets: [{bucket: trail, owner: '123'}]", "owner is an account id"),
        (QUEUE % ", buckets: [{bucket: abc}, {bucket: abc}]", "buckets names one twice"),
        (QUEUE % ", buckets: any, bucket_owner: '1'", "bucket_owner is an account id"),
        (
            "sources: [{type: s3_sqs, queue_url: 'http://q/1/trail.fifo', buckets: any}]",
            "queue_url is a FIFO queue, which keeps back all that follows",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_remedy(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/detector.yaml:")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("start", "seconds"),
    [
        ("TRIM_HORIZON", None),
        ("LATEST", None),
        ("2026-09-16T12:00:00Z", 1_789_560_000.0),
        ("2026-09-16T14:00:00.5+02:00", 1_789_560_000.5),
    ],
)
def test_a_stream_is_named_or_given_by_its_arn(
    tmp_path: Path, start: str, seconds: float | None
) -> None:
    arn = "arn:aws:kinesis:us-east-1:111122223333:stream/trail"
    for stream, known in (("trail", None), (arn, arn)):
        (source,) = load(
            tmp_path, f"sources: [{{type: kinesis, stream: '{stream}', start: {start}}}]"
        ).sources
        assert isinstance(source, KinesisSourceConfig)
        assert (source.stream_name, source.stream_arn) == ("trail", known)
        assert source.start_time() == seconds
        assert source.fan_out is None


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("", "sources[0].stream is missing"),
        ("stream: a/b", "stream is a stream's name, or its ARN like arn:aws:kinesis:"),
        ("stream: 'arn:aws:sns:us-east-1:111122223333:a'", "stream is a stream's name, or"),
        ("stream: a, start: latest", "start is TRIM_HORIZON, LATEST, or a time with its offset"),
        ("stream: a, start: 2026-09-16T12:00:00", "like 2026-12-31T22:00:00Z"),
        ("stream: a, poll_seconds: 0", "poll_seconds must be more than 0"),
        ("stream: a, endpoint_url: x", "endpoint_url must be an http:// or https:// address"),
        ("stream: a, fan_out: {}", "fan_out needs either consumer_arn or consumer_name"),
        (
            "stream: a, fan_out: {consumer_arn: x, consumer_name: y}",
            "fan_out needs either consumer_arn or consumer_name",
        ),
        ("stream: a, fan_out: {consumer_arn: x}", "a consumer's name goes into consumer_name"),
        ("stream: a, fan_out: {consumer_name: 'a:b'}", "an ARN goes into consumer_arn"),
        (
            "stream: a, fan_out: {consumer_arn: 'arn:aws:kinesis:us-east-1:111122223333:stream/a"
            "/consumer/b:1700000000', register: true}",
            "register needs consumer_name",
        ),
        ("stream: a, fan_out: {consumer: y}", "unknown key sources[0].fan_out.consumer"),
    ],
)
def test_a_mistake_in_a_stream_is_named(tmp_path: Path, keys: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"sources: [{{type: kinesis, {keys}}}]")
    assert says in str(caught.value)


def test_a_secret_with_a_wrong_value_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "hunter2")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SOURCES + "sinks: [{type: webhook, url: '${env:HOOK}'}]")
    assert "hunter2" not in str(caught.value)


def test_an_access_key_is_shown_by_no_error_and_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "hunter2")
    config = load(tmp_path, FIREHOSE % "access_keys: ['${env:KEY}']")
    (source,) = config.sources
    assert isinstance(source, FirehoseSourceConfig)
    assert source.access_keys == ("hunter2",)
    assert "hunter2" not in f"{config} {config!r} {source} {source!r}"
    assert "port=1" in repr(source)
    for wrong in ("' ${env:KEY}'", "'${env:KEY}', ''", "'${env:KEY}', [1]", "{'${env:KEY}': 1}"):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, FIREHOSE % f"access_keys: [{wrong}]")
        assert "hunter2" not in str(caught.value)


def test_the_quarantine_lies_beside_the_state_unless_it_is_told_to_lie_elsewhere(
    tmp_path: Path,
) -> None:
    beside = load(tmp_path, SOURCES + "state: {path: /var/lib/detector/x.db}")
    assert beside.quarantine.path == "/var/lib/detector/quarantine"
    assert load(tmp_path, SOURCES).quarantine.path == f"{tmp_path}/state/quarantine"
    given = load(tmp_path, SOURCES + "quarantine: {path: kept}")
    assert given.quarantine.path == f"{tmp_path}/kept"
    bucket = load(tmp_path, SOURCES + "quarantine: {path: s3://bucket/some/prefix}")
    assert bucket.quarantine.path == "s3://bucket/some/prefix"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SOURCES + "quarantine: {path: logs}", r":2:20: the quarantine .*/logs lies in the folder"),
        (SOURCES + "quarantine: {path: logs/x/../y}", "that the source directory reads; set"),
        (SOURCES + "state: {path: logs/state.db}", "the quarantine .*/logs/quarantine lies in"),
        (SOURCES + "quarantine: {path: 's3://'}", "path is a folder, or like s3://bucket/prefix"),
        (SOURCES + "quarantine: {max_bytes: 9}", "max_bytes must be at least twice max_entry"),
        (SOURCES + "quarantine: {max_entry_bytes: 0}", "max_entry_bytes must be from 1 to"),
        (SOURCES + "quarantine: {retention_seconds: 0}", "retention_seconds must be more than 0"),
        (
            "sources: [{type: directory, path: logs, name: quarantine}]",
            "name must not be quarantine",
        ),
    ],
)
def test_a_quarantine_that_cannot_work_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, text)


def test_a_quarantine_that_a_link_leads_into_a_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "kept").symlink_to(tmp_path / "logs")
    with pytest.raises(ConfigError, match="lies in the folder that the source directory reads"):
        load(tmp_path, SOURCES + "quarantine: {path: kept/x}")
