"""What a person is told: by one line, by all lines, by every kind of alert."""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, AlertEpisode, Digest, DigestEntry, Suppressed
from detector.alerts.links import MAX_LINK_CHARACTERS, event_link, siem_link
from detector.alerts.own import silence_alert
from detector.alerts.runbooks import MAX_RUNBOOK_CHARACTERS, first_steps
from detector.alerts.story import (
    MAX_ROWS,
    MAX_SUMMARY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    Reading,
    Story,
    tell,
)
from detector.alerts.text import alert_text
from detector.windows.hearing import Silence
from tests.alerts import alert
from tests.records import ACCOUNT, NOON, record
from tests.strategies import examples

READING = Reading({ACCOUNT: "production"}, "https://siem.example/?q={event_id}&a={account}")
ROLE = {
    "type": "AssumedRole",
    "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice",
    "accountId": ACCOUNT,
    "sessionContext": {"sessionIssuer": {"userName": "Admin"}},
}
ATTACH = {"userName": "bob", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}


def changed(made: Alert | None = None, **fields: Any) -> Alert:
    return msgspec.structs.replace(made or alert(), **fields)


def rows(made: Alert, reading: Reading = READING) -> dict[str, str]:
    return dict(tell(made, "raised", reading).rows)


def denied(**fields: Any) -> dict[str, Any]:
    return record(
        "AttachUserPolicy",
        requestParameters=ATTACH,
        userIdentity=ROLE,
        errorCode="AccessDenied",
        **fields,
    )


def test_one_line_lets_somebody_decide() -> None:
    made = changed(evidence=[denied()], actors=[ROLE["arn"]])
    assert tell(made, "raised", READING).summary == (
        "AttachUserPolicy on user bob (policy AdministratorAccess) by alice via role Admin, "
        "in production (111122223333), us-east-1, denied"
    )


def test_the_change_that_was_made_is_told_before_those_that_failed() -> None:
    wide = record("AttachUserPolicy", requestParameters=ATTACH)
    made = changed(evidence=[denied(), record(), wide], count=9)
    summary = tell(made, "raised", READING).summary
    assert summary.startswith("AttachUserPolicy on user bob (policy AdministratorAccess) by alice")
    assert ", and 8 more events, in production" in summary
    assert summary.endswith(", 1 of them failed")


def test_the_rows_say_who_what_where_when_and_how_many() -> None:
    user = {**record()["userIdentity"], "accessKeyId": "AKIAX"}
    made = changed(evidence=[record(userIdentity=user), denied()], count=2, value=2)
    made = changed(made, event_names=["AttachUserPolicy", "PutUserPolicy"])
    told = rows(made)
    assert list(told) == [
        "what", "who", "result", "where", "from", "when", "count", "window", "rule", "alert",
    ]  # fmt: skip
    assert told["what"] == (
        "PutUserPolicy on user bob; "
        "AttachUserPolicy on user bob (policy AdministratorAccess), denied"
    )
    assert told["who"] == "alice (access key AKIAX), alice via role Admin"
    assert told["result"] == "1 succeeded, 1 denied: AccessDenied"
    assert told["where"] == "production (111122223333), us-east-1"
    assert told["from"] == "203.0.113.7; aws-cli/2.31.0"
    assert told["count"] == "1 x AttachUserPolicy, 1 x PutUserPolicy"
    assert told["window"] == "2026-09-16T12:00:00Z to 2026-09-16T12:05:00Z, threshold 1 or more"


def test_evidence_that_is_not_all_says_so() -> None:
    assert "seen" not in rows(alert(names=5))
    assert rows(alert(names=8))["seen"].startswith("what, result and client are of 5 of the 8 ev")
    cut = changed(alert(names=50), truncated=["actors", "source_ips"])
    assert rows(cut)["who"].endswith("alice12 and 45 more at least")
    assert rows(cut)["from"].startswith("203.0.113.7 and more; ")


def test_addresses_that_are_none_are_told_as_what_they_are() -> None:
    called = record(
        sourceIPAddress="cloudformation.amazonaws.com",
        userAgent="cloudformation.amazonaws.com",
        vpcEndpointId="vpce-1234",
        vpcEndpointAccountId="999988887777",
    )
    made = changed(source_ips=["cloudformation.amazonaws.com"], evidence=[called])
    assert rows(made)["from"] == (
        "the service cloudformation.amazonaws.com; VPC endpoint vpce-1234 of account 999988887777"
    )
    console = record(sessionCredentialFromConsole="true")
    assert rows(changed(evidence=[console]))["from"].endswith("(in the console)")


@pytest.mark.parametrize(
    ("fields", "kind", "ending"),
    [
        ({}, "updated", "IAM policy changed (update)"),
        ({}, "resolved", "IAM policy changed (resolved)"),
        ({"state": "withdrawn"}, "resolved", "(withdrawn: later events have undone it)"),
        ({"status": "test"}, "raised", "(staged: test)"),
        ({"overflow": True}, "raised", "(all groups beyond the limit)"),
        ({"late": True}, "updated", "(update) (late)"),
    ],
)
def test_the_headline_says_what_is_new(fields: Any, kind: Any, ending: str) -> None:
    headline = tell(changed(**fields), kind, READING).headline
    assert headline.startswith("[MEDIUM] IAM policy changed")
    assert headline.endswith(ending)


def test_a_test_is_recognised_at_once() -> None:
    headline = tell(changed(test=True), "raised", READING).headline
    assert headline == "[TEST] [MEDIUM] IAM policy changed"


def test_why_it_is_late_or_single_or_silenced_is_told() -> None:
    added = record(addendum={"reason": "DELIVERY_DELAY"})
    assert rows(changed(late=True, evidence=[added]))["when"].endswith("late (DELIVERY_DELAY)")
    single = changed(late=True, beyond_retention=True, counting="single", reason="So late")
    assert "not retained any more" in rows(single)["when"]
    assert rows(single)["why"] == "So late"
    assert "threshold" not in rows(single)["window"]
    silence = Suppressed(reason="migration", author="ops", end="2026-09-17T00:00:00Z")
    assert rows(changed(suppressed=silence))["silence"].startswith("not sent, by ops until ")
    episode = AlertEpisode(id="e", start="s", end="t", windows=3, count=12)
    assert rows(changed(episode=episode))["episode"] == "3 windows since s, 12 events, e"


def test_other_values_than_the_count_are_compared_in_words() -> None:
    alarm = changed(
        statistic="Average", value=2.5, threshold=2, comparison_operator="GreaterThanThreshold"
    )
    assert rows(alarm)["window"].endswith(", Average 2.5, threshold more than 2")


def test_what_a_rule_groups_by_is_told_unless_another_row_does() -> None:
    made = changed(group={"recipientAccountId": ACCOUNT, "userAgent": "curl", "x": "alice"})
    assert rows(made)["group"] == "userAgent curl"


def test_what_did_not_happen_is_told_by_its_description() -> None:
    story = tell(silence_alert(None, Silence(NOON, NOON + 3600, 3600.0)), "raised", READING)
    assert story.summary.startswith("Nothing from any source has been delivered since")
    assert [link.text for link in story.links] == ["SIEM"]


def test_events_without_evidence_are_told_by_their_names() -> None:
    story = tell(changed(evidence=[], count=7), "raised", READING)
    assert story.summary == (
        "7 events: PutUserPolicy by alice, in production (111122223333), us-east-1"
    )


def entry(number: int, **fields: Any) -> DigestEntry:
    values: dict[str, Any] = {
        "rule_id": f"r{number}", "title": f"Rule {number}", "level": "high", "raised": number,
        "updated": 0, "resolved": 0, "events": 10 * number, "accounts": [ACCOUNT],
        "actors": [ROLE["arn"]],
    }  # fmt: skip
    return DigestEntry(**{**values, **fields})


def digest(*entries: DigestEntry, **fields: Any) -> Alert:
    raised = sum(item.raised for item in entries)
    values: dict[str, Any] = {
        "notifications": raised, "raised": raised, "updated": 0, "resolved": 0, "events": 60,
        "entries": list(entries), "alert_ids": ["a1"],
    }  # fmt: skip
    made = Digest(**{**values, **fields})
    return changed(evidence=[], digest=made, rule_id="detector.digest", counting="own", count=0)


def test_a_digest_says_how_many_more_and_of_what() -> None:
    made = digest(entry(3), entry(2), entry(1), entry(1), more_rules=2)
    story = tell(made, "raised", READING)
    title = "7 more alerts: Rule 3 (3), Rule 2 (2), Rule 1 (1) and 3 more rules"
    assert (story.headline, story.summary) == (f"[MEDIUM] {title}", title)
    told = dict(story.rows)
    assert told["what"] == "7 raised; 60 events in all"
    assert told["rule 1"] == (
        "[HIGH] Rule 3: 3 raised, 30 events, in production (111122223333), by alice via role Admin"
    )
    assert told["rules"] == "2 more rules, in the numbers above"
    assert told["alerts"] == "a1, of 7"


def test_a_digest_of_updates_does_not_call_them_alerts() -> None:
    made = digest(entry(2, updated=4), notifications=6, updated=4)
    assert tell(made, "raised", READING).title == "6 more notifications: Rule 2 (6)"
    assert rows(made)["what"] == "2 raised, 4 updated; 60 events in all"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
    ],
)
def test_every_partition_has_its_console(region: str, host: str) -> None:
    link = event_link(region, "9e2b-8d2e")
    assert link == f"https://{host}/cloudtrailv2/home?region={region}#/events/9e2b-8d2e"


@pytest.mark.parametrize(
    ("region", "event_id"),
    [
        ("us-iso-east-1", "e1"),
        ("evil.example/us-east-1", "e1"),
        ("us-east-1", "e1/../x"),
        ("us-east-1", ""),
        ("", "e1"),
    ],
)
def test_what_is_no_region_or_event_makes_no_link(region: str, event_id: str) -> None:
    assert event_link(region, event_id) == ""


def test_the_links_are_of_the_event_that_is_told_first() -> None:
    made = changed(evidence=[denied(), record(eventID="second")])
    links = [link.href for link in tell(made, "raised", READING).links]
    assert links[0].endswith("/cloudtrailv2/home?region=us-east-1#/events/second")
    assert links[1] == f"https://siem.example/?q=second&a={ACCOUNT}"


def test_no_value_adds_to_the_address_of_a_siem() -> None:
    link = siem_link("https://s.example/{event_id}", alert(), "a/../?x=1#&\ud800", "", "")
    assert link == "https://s.example/a%2F..%2F%3Fx%3D1%23%26%3F"
    assert siem_link("https://s.example/{account[5]}", alert(), "", "", "") == ""
    assert siem_link("https://s.example/{event_id}", alert(), "x" * 3000, "", "") == ""
    assert siem_link(None, alert(), "e1", "", "") == ""


def test_the_first_steps_of_a_runbook_have_a_line_each() -> None:
    assert first_steps("1. Look\n   at it.\n2. Ask.\n\n- Stop it.\n") == (
        "1. Look at it.\n2. Ask.\n- Stop it."
    )
    long = "\n".join(f"{number}. {'x' * 500}" for number in range(1, 9))
    told = first_steps(long)
    assert told.endswith(f"2. {'x' * 500}\n…")
    assert len(first_steps("y" * 50_000)) == MAX_RUNBOOK_CHARACTERS
    assert first_steps("") == ""


def test_a_terminal_shows_the_rows_in_one_column() -> None:
    made = changed(runbook="1. Look.\n2. Ask.")
    lines = alert_text(made, "raised", READING).splitlines()
    assert lines[0] == "[MEDIUM] IAM policy changed"
    assert lines[-3].startswith("  siem     https://siem.example/")
    assert lines[-2:] == ["  runbook  1. Look.", "           2. Ask."]


TEXT = st.text() | st.sampled_from(
    [
        "\u202ecod",
        "a\nb",
        "\x1b[2J",
        "\ud800",
        "\u200b",
        "x" * 10_000,
        "<!channel>",
        "arn:a:b:c:d:e",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
FIELDS = [
    "eventName", "eventSource", "errorCode", "errorMessage", "userIdentity", "requestParameters",
    "responseElements", "additionalEventData", "resources", "awsRegion", "eventID", "userAgent",
    "sourceIPAddress", "vpcEndpointId", "addendum", "recipientAccountId",
]  # fmt: skip
INNER = [
    "arn", "type", "userName", "sessionContext", "sessionIssuer", "onBehalfOf", "policyDocument",
    "ipPermissions", "items", "cidrIp", "portRange", "groupId", "routeTableId", "accessKey", "tags",
    "Statement", "Action", "Principal", "Effect", "destinationCidrBlock", "keyId", "member",
]  # fmt: skip
OBJECT = st.dictionaries(
    st.sampled_from(INNER), JSON | st.dictionaries(st.sampled_from(INNER), JSON)
)
RECORD = st.dictionaries(st.sampled_from(FIELDS), JSON | OBJECT) | st.dictionaries(TEXT, JSON)
NAMED = st.sampled_from(
    ["iam", "ec2", "s3", "kms", "sso", "signin", "organizations", "cloudtrail"]
).map(lambda service: f"{service}.amazonaws.com")
EVENTS = st.sampled_from(
    ["ConsoleLogin", "PutUserPolicy", "AuthorizeSecurityGroupIngress", "CreateNetworkAclEntry",
     "CreateRoute", "ScheduleKeyDeletion", "TagRole", "CreateVpc"]
)  # fmt: skip
EVIDENCE = st.builds(
    lambda known, event, made: {**record(event, eventSource=known), **made}, NAMED, EVENTS, RECORD
) | RECORD  # fmt: skip


def is_plain(text: str) -> bool:
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


def check(story: Story) -> None:
    assert len(story.rows) <= MAX_ROWS
    assert len({row.label for row in story.rows}) == len(story.rows)
    assert all(0 < len(row.value) <= MAX_VALUE_CHARACTERS for row in story.rows)
    assert all(is_plain(row.label + row.value) for row in story.rows)
    assert 0 < len(story.summary) <= MAX_SUMMARY_CHARACTERS
    assert 0 < len(story.title) <= MAX_TITLE_CHARACTERS
    assert is_plain(story.headline + story.summary + story.title)
    assert len(story.runbook) <= MAX_RUNBOOK_CHARACTERS
    assert is_plain(story.runbook.replace("\n", ""))
    assert all(
        len(link.href) <= MAX_LINK_CHARACTERS and link.href.isascii() for link in story.links
    )
    assert all(is_plain(link.text) and " " not in link.href for link in story.links)


@examples(100)
@given(st.lists(EVIDENCE, max_size=5), st.lists(TEXT, max_size=8), st.integers(0, 100))
def test_no_record_makes_a_story_fail_or_grow_or_move_a_cursor(
    evidence: list[dict[str, Any]], names: list[str], count: int
) -> None:
    made = changed(
        evidence=evidence, actors=names, source_ips=names, regions=names, accounts=names,
        event_names=names, event_ids=names, count=count, group={"x": "".join(names)},
    )  # fmt: skip
    for kind in ("raised", "updated", "resolved"):
        check(tell(made, kind, READING))
    assert alert_text(made).encode()


@examples(50)
@given(TEXT, TEXT, st.integers(0, 30))
def test_no_digest_makes_a_story_fail_or_grow(title: str, actor: str, number: int) -> None:
    entries = [entry(1, title=title, actors=[actor] * 20, accounts=[actor] * 20)] * number
    made = digest(*entries, alert_ids=[actor] * 50, more_rules=3)
    check(tell(made, "raised", READING))


def test_the_same_alert_tells_the_same_story() -> None:
    made = alert(names=8)
    assert tell(made, "raised", READING) == tell(made, "raised", READING)
