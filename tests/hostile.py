"""What an attacker may write into an alert, and alerts that have it everywhere."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from detector.alerts.alert import Alert, AlertEpisode, Digest, DigestEntry
from detector.alerts.text import NotificationKind
from detector.rules.rule import Level
from detector.state.store import Notification
from tests.alerts import alert
from tests.records import record

SAMPLES = (
    "<!channel> <!here> <!everyone> <@U024BE7LH> <#C024BE7LR> <!subteam^SAZ94GDB8>",
    "<https://evil.example|click here>",
    "[click here](https://evil.example) ![x](https://evil.example/x.png)",
    "*bold* _italic_ ~struck~ `code` ```block``` **strong** __under__",
    ":aws: :rotating_light: arn:aws:iam::aws:policy/AdministratorAccess",
    "<script>alert(1)</script> <at>Everyone</at> &lt;b&gt; &amp;amp; &#91;",
    "\\*escaped\\* \\\\[twice](https://evil.example)",
    "> quote\n> again\n1. one\n- two\n# heading\n| a | b |",
    '"quoted" \'single\' \\u003c!channel\\u003e {"json": true}',
    "a\x00b\x07c\x1b[31mred\x1b[0m\u2028d\u2029e",
    "\u202egnp.exe\u2066x\u2069\u200b\ufeff",
    "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿 é é 漢字 \U0001f600",
    "{{DATE(2026-01-01T00:00:00Z)}} {{ 7 * 7 }} ${env:HOME}",
    "https://evil.example/x www.evil.example evil@evil.example mailto:evil@evil.example",
    "x" * 10_000,
    "😀" * 5_000,
    "&" * 10_000,
    "\\" * 10_000,
    '"' * 10_000,
    "*_`<" * 2_500,
    " ",
    "",
)
"""Each means something to a chat, a terminal or a log; the last are only long, or nothing."""

DIGEST = Digest(
    notifications=129,
    raised=120,
    updated=6,
    resolved=3,
    events=270,
    entries=[
        DigestEntry(
            rule_id="b6a29b0a-6d3c-4b9e-8a52-0f1f7a6e9d41",
            title="IAM policy changed",
            level="high",
            raised=120,
            updated=6,
            resolved=3,
            events=270,
            accounts=["111122223333"],
            actors=["<!channel> *mallory*"],
        )
    ],
)
"""One message in place of 129."""

signs = st.text(alphabet="<>&|*_~`[]()!@#:{}\\\"'\n\r\t\x00\u202e\u200b/.-+1aé漢😀", max_size=40)
strings = st.one_of(
    st.sampled_from(SAMPLES),
    signs,
    signs.map(lambda text: text * 300),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
"""Without lone surrogates, which no alert has: what is read as JSON has none."""

_lists = st.lists(strings, max_size=8)
_accounts = st.lists(st.one_of(st.just("111122223333"), strings), max_size=3)


def hostile(text: str, **fields: Any) -> Alert:
    """Return an alert that says a text wherever somebody else can write one."""
    made = alert(names=3)
    values: dict[str, Any] = {
        "actors": [text, "alice"],
        "source_ips": [text],
        "event_names": [text],
        "group": {"recipientAccountId": "111122223333", "userAgent": text},
        "evidence": [
            record(
                userAgent=text,
                requestParameters={"userName": text, "policyArn": text, "roleName": text},
                userIdentity={
                    "type": "AssumedRole",
                    "arn": f"arn:aws:sts::111122223333:assumed-role/Admin/{text}",
                    "accountId": "111122223333",
                },
                errorMessage=text,
                eventSource=text,
            )
        ],
    }
    return msgspec.structs.replace(made, **{**values, **fields})


def digest_alert() -> Alert:
    """Return an alert that is a digest, with a name in it that somebody else chose."""
    return msgspec.structs.replace(
        alert(),
        id="d" * 32,
        dedup_key="digest-1",
        rule_id="detector.digest",
        level="high",
        counting="own",
        evidence=[],
        digest=DIGEST,
    )


@st.composite
def digests(draw: st.DrawFn) -> Digest:
    """Digests of some rules."""
    numbers = st.integers(0, 10**6)
    entries = [
        DigestEntry(
            rule_id=draw(strings),
            title=draw(strings),
            level=draw(st.sampled_from(get_args(Level))),
            raised=draw(numbers),
            updated=draw(numbers),
            resolved=draw(numbers),
            events=draw(numbers),
            accounts=draw(_accounts),
            actors=draw(_lists),
        )
        for _ in range(draw(st.integers(0, 20)))
    ]
    return Digest(
        notifications=draw(numbers),
        raised=draw(numbers),
        updated=draw(numbers),
        resolved=draw(numbers),
        events=draw(numbers),
        entries=entries,
        more_rules=draw(st.integers(0, 3)),
        alert_ids=draw(_lists),
    )


@st.composite
def notifications(draw: st.DrawFn) -> Notification:
    """Notifications of every kind, of alerts in which anything may stand."""
    text = draw(strings)
    made = hostile(
        text,
        title=draw(strings),
        description=draw(strings),
        runbook=draw(strings),
        reason=draw(st.one_of(st.just(""), strings)),
        level=draw(st.sampled_from(get_args(Level))),
        status=draw(st.sampled_from(["stable", "test"])),
        state=draw(st.sampled_from(["open", "resolved", "withdrawn"])),
        dedup_key=draw(st.one_of(st.just(""), st.just("incident"), strings)),
        actors=draw(_lists),
        regions=draw(_lists),
        accounts=draw(_accounts),
        event_names=draw(_lists),
        event_ids=draw(_lists),
        tags=draw(_lists),
        count=draw(st.sampled_from([0, 1, 5_000])),
        test=draw(st.booleans()),
        rule_name=draw(st.one_of(st.just(""), strings)),
    )
    if draw(st.booleans()):
        made = msgspec.structs.replace(made, evidence=[])
    elif draw(st.integers(0, 9)) == 0:
        large = {"eventSource": "iam.amazonaws.com", "x": '"é' * 60_000}
        made = msgspec.structs.replace(made, evidence=[large] * draw(st.integers(1, 4)))
    if draw(st.booleans()):
        made = msgspec.structs.replace(
            made, episode=AlertEpisode(id=text, start="a", end="b", windows=3, count=9)
        )
    if draw(st.integers(0, 3)) == 0:
        made = msgspec.structs.replace(
            made, rule_id="detector.digest", counting="own", evidence=[], digest=draw(digests())
        )
    return Notification(made, draw(st.sampled_from(get_args(NotificationKind))))
