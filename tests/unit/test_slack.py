import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.own import silence_alert
from detector.alerts.story import Link, Reading, Row, tell
from detector.config import SlackSinkConfig, TemplatesConfig
from detector.envelopes.log_file import Trail
from detector.errors import ConfigError
from detector.sinks.chat import Teller, Telling, telling
from detector.sinks.cutting import cut, utf16_units
from detector.sinks.sink import Delivered, Permanent, Retry
from detector.sinks.slack.blocks import message
from detector.sinks.slack.mrkdwn import cut_markup, literal, plain
from detector.sinks.slack.sink import SlackSink
from detector.state.store import Notification
from detector.windows.hearing import Silence
from tests.alerts import alert
from tests.hostile import SAMPLES, digest_alert, hostile, notifications, strings
from tests.records import NOON
from tests.servers.checking import Answer, Fault
from tests.servers.slack import PATH, SlackServer, displayed, fault_of, text_objects
from tests.sinks import answers, sink_context
from tests.strategies import examples

_LABEL = re.compile(r"\*([^\n]*)\*", re.DOTALL)
_LINK = re.compile(r"<(https?://[^|<>]+)\|([^<>]*)>")
_ENTITY = re.compile(r"&(?:amp|lt|gt);")
_SET_APART = re.compile("\u200b(?:[*_~`•:]|&gt;)\u200b")


def shown(notification: Notification, reading: Reading | None = None) -> Any:
    story = tell(notification.alert, notification.kind, reading or Reading())
    return msgspec.json.decode(message(telling(notification, story)))


def texts(made: Any) -> list[str]:
    return [displayed(text) for text in text_objects(made)]


def own_links(notification: Notification) -> list[str]:
    story = tell(notification.alert, notification.kind, Reading())
    return [plain(link.href) for link in story.links]


def live(markup: str) -> str:
    """Return what of some mrkdwn Slack would give a meaning, beyond entities."""
    without = _ENTITY.sub(" ", _SET_APART.sub("\u200b", markup))
    return "".join(re.findall(r"[<>&*_~`]|:[\w+'-]+:", without))


def live_strings(made: Any, links: list[str]) -> list[str]:
    """Return the texts of a message in which something means something that is not ours."""
    found = [made["text"]] if live(made["text"]) else []
    for text in text_objects(made):
        markup = text["text"]
        if text["type"] == "plain_text":
            assert text["emoji"] is False
            is_live = bool(re.search("[<>&]", _ENTITY.sub("", markup)))
        else:
            assert text["verbatim"] is True
            label = _LABEL.fullmatch(markup)
            parts = [label[1]] if label else _LINK.sub("", markup).split("\n")
            is_live = any(map(live, parts))
            is_live |= any(found[1] not in links for found in _LINK.finditer(markup))
        if is_live:
            found.append(markup)
    return found


def test_a_message_says_what_happened_and_how_bad_it_is_before_anything_else() -> None:
    made = shown(Notification(alert()))
    assert made["text"] == "🟡 [MEDIUM] IAM policy changed"
    kinds = [block["type"] for block in made["blocks"]]
    assert kinds[:3] == ["header", "section", "section"]
    assert kinds[-1] == "context"
    told = texts(made)
    assert told[0] == made["text"]
    assert "PutUserPolicy" in told[1]
    assert "*who*" in told
    assert told[told.index("*who*") + 1] == "alice"
    assert any(text.startswith(alert().runbook[:30]) for text in told)
    assert told[-1] == f"alert {alert().id} · message {alert().id}.0.raised"


def test_an_update_and_an_end_look_different_and_name_their_incident() -> None:
    made = msgspec.structs.replace(alert(), dedup_key="incident-1", revision=2)
    raised, updated, resolved = (
        texts(shown(Notification(made, kind))) for kind in ("raised", "updated", "resolved")
    )
    assert [told[0][0] for told in (raised, updated, resolved)] == ["🟡", "🔄", "✅"]
    assert "incident-1" in updated[1]
    assert "is over" in resolved[1]
    assert "incident incident-1 · message" in raised[-1]
    assert any("What to do first" in text for text in raised)
    assert not any("What to do first" in text for text in resolved)
    withdrawn = msgspec.structs.replace(made, state="withdrawn")
    assert "is withdrawn" in texts(shown(Notification(withdrawn, "resolved")))[1]


def test_a_test_message_says_so_whatever_its_title() -> None:
    made = msgspec.structs.replace(alert(), test=True)
    assert "[TEST]" in shown(Notification(made))["text"]
    told = Teller(TemplatesConfig(title="My own title"), Reading()).tell(Notification(made))
    assert told.heading == "🟡 [TEST] My own title"
    again = Teller(TemplatesConfig(title="[TEST] mine"), Reading()).tell(Notification(made))
    assert again.heading == "🟡 [TEST] mine"


def test_an_alert_of_the_detectors_own_is_told_without_events() -> None:
    silence = Silence(since=NOON, limit=7200, found=NOON + 7200, ended=None)
    made = silence_alert(Trail("111122223333", "us-east-1"), silence)
    told = shown(Notification(made))
    assert fault_of(told) == ""
    assert "CloudTrail has fallen silent" in told["text"]
    assert any("has been delivered since" in text for text in texts(told))


def test_a_digest_says_how_many_of_what_and_whose() -> None:
    notification = Notification(digest_alert())
    made = shown(notification)
    assert fault_of(made) == ""
    assert live_strings(made, own_links(notification)) == []
    told = " ".join(texts(made))
    for said in ("129", "120 raised, 6 updated, 3 resolved", "<!channel> *mallory*", "digest-1"):
        assert said in told
    assert made["text"].startswith("🟠")


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_an_attacker_wrote_is_shown_as_written_and_is_not_live(sample: str) -> None:
    notification = Notification(hostile(sample))
    made = shown(notification)
    assert fault_of(made) == ""
    assert live_strings(made, own_links(notification)) == []
    story = tell(hostile(sample), "raised", Reading())
    told = " ".join(texts(made))
    for row in story.rows:
        assert row.value[:30].strip() in told
    assert story.summary[:30].strip() in told


@given(notifications())
@examples(200)
def test_slack_takes_every_message_and_nothing_in_it_is_live(notification: Notification) -> None:
    made = shown(notification)
    assert fault_of(made) == ""
    assert live_strings(made, own_links(notification)) == []
    if notification.alert.test:
        assert "[TEST]" in made["text"]


LINKS = (
    Link("CloudTrail *console*", "https://us-east-1.console.aws.amazon.com/x?y=1&z=a_b*#/e/~1"),
    Link("<!channel> | now", "https://siem.example/a"),
    Link("not for the web", "javascript:alert(1)"),
    Link("two", "https://evil.example/|x> <!channel>"),
    Link("long", "https://siem.example/" + "a" * 5_000),
    Link("broken", "https://[::1"),
)


def test_links_are_mrkdwn_links_to_the_web_and_nothing_else() -> None:
    told = telling(Notification(alert()), tell(alert(), "raised", Reading()))
    made = _with(told, links=_safe(LINKS))
    (markup,) = [text["text"] for text in text_objects(made) if "siem.example" in text["text"]]
    found = _LINK.findall(markup)
    assert [href for href, _ in found] == [
        "https://us-east-1.console.aws.amazon.com/x?y=1&amp;z=a_b*#/e/~1",
        "https://siem.example/a",
    ]
    assert live_strings(made, [href for href, _ in found]) == []
    assert not any(block["type"] == "actions" for block in made["blocks"])


def test_all_that_can_be_cut_is_cut_before_slack_refuses_it() -> None:
    rows = tuple(Row(f"row {number}", "&" * 1_000) for number in range(40))
    told = telling(Notification(alert()), tell(alert(), "raised", Reading()))
    made = _with(told, rows=rows, summary='"' * 3_000, runbook="\\" * 30_000)
    assert fault_of(made) == ""
    assert "more rows are not shown" in texts(made)[-1]


async def test_templates_stand_in_place_of_the_heading_and_of_the_rest() -> None:
    templates = TemplatesConfig(
        title="{{ kind }}: {{ alert.title }}",
        text="*{{ story.summary }}* <https://wiki.example|wiki>\n{{ alert.actors[0] }}",
    )
    made = await _sent(hostile("<!channel> *a* :b: `c`"), templates=templates)
    told = texts(made)
    assert told[0] == "🟡 raised: IAM policy changed"
    body = next(text["text"] for text in text_objects(made) if "wiki" in text["text"])
    assert body.startswith("*")
    assert "<https://wiki.example|wiki>" in body
    line = body.split("\n")[1]
    assert live(line) == ""
    assert displayed({"text": line}) == "<!channel> *a* :b: `c`"
    assert not any("What to do first" in text for text in told)


async def test_a_template_that_cannot_be_filled_in_does_not_hold_up_an_alert() -> None:
    made = await _sent(alert(), templates=TemplatesConfig(text="{{ alert.nobody }}"))
    assert "*who*" in texts(made)
    assert "cannot be filled in" in texts(made)[-1]
    with pytest.raises(ConfigError, match="cannot be read"):
        SlackSink(
            SlackSinkConfig(name="c", url="https://x.example", templates=_broken()), sink_context()
        )


@given(strings, st.integers(2, 100))
@examples(200)
def test_a_text_is_cut_on_a_character_and_never_within_an_escape(text: str, limit: int) -> None:
    made = cut(text, limit, plain)
    assert utf16_units(made) <= limit
    assert not re.search("[<>&]", _ENTITY.sub("", made))
    assert displayed({"text": made}).removesuffix("…") in displayed({"text": plain(text)})
    markup = cut_markup(literal(text), limit)
    assert utf16_units(markup) <= limit
    assert live(markup) == ""


@given(st.lists(strings, max_size=5).map("\n".join))
@examples(100)
def test_whatever_a_template_makes_is_a_message(markup: str) -> None:
    told = telling(Notification(alert()), tell(alert(), "raised", Reading()))
    assert fault_of(_with(told, markup=literal(markup) or None)) == ""


async def test_slack_takes_it_and_the_address_is_in_no_reason() -> None:
    with SlackServer() as server:
        config = SlackSinkConfig(name="chat", url=server.url)
        assert await answers(config, Notification(alert())) == [Delivered()]
        (request,) = server.accepted
        assert request.headers["content-type"] == "application/json; charset=utf-8"
        wrong = SlackSinkConfig(name="chat", url=server.url + "hunter2")
        assert await answers(wrong, Notification(alert())) == [
            Permanent("127.0.0.1 answered 404: no_service")
        ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(400, "invalid_blocks"), Permanent("127.0.0.1 answered 400: invalid_blocks")),
        (Answer(403, "action_prohibited"), Permanent("127.0.0.1 answered 403: action_prohibited")),
        (
            Answer(410, "channel_is_archived"),
            Permanent("127.0.0.1 answered 410: channel_is_archived"),
        ),
        (Answer(429, "", {"Retry-After": "30"}), Retry("127.0.0.1 answered 429", 30.0)),
        (Answer(500, "rollup_error"), Retry("127.0.0.1 answered 500: rollup_error")),
        (
            Answer(200, "<p>Log in first</p>"),
            Retry("127.0.0.1 answered 200, not ok: <p>Log in first</p>"),
        ),
        (
            Answer(404, f"Cannot POST {PATH}"),
            Permanent("127.0.0.1 answered 404: Cannot POST [hidden]"),
        ),
    ],
)
async def test_what_slack_says_is_what_becomes_of_the_message(
    answer: Answer, expected: object
) -> None:
    with SlackServer(Fault(answer)) as server:
        config = SlackSinkConfig(name="chat", url=server.url)
        assert await answers(config, Notification(alert())) == [expected]


async def test_a_channel_that_is_asked_too_often_is_asked_again_later() -> None:
    with SlackServer(per_second=1) as server:
        config = SlackSinkConfig(name="chat", url=server.url)
        first, second = await answers(config, Notification(alert()), Notification(alert()))
    assert first == Delivered()
    assert second == Retry("127.0.0.1 answered 429: rate_limited", 1.0)


async def _sent(made: Any, **settings: Any) -> Any:
    with SlackServer() as server:
        config = SlackSinkConfig(name="chat", url=server.url, **settings)
        assert await answers(config, Notification(made)) == [Delivered()]
        return server.messages[0]


def _broken() -> TemplatesConfig:
    return TemplatesConfig(text="{{ alert.")


def _safe(links: tuple[Link, ...]) -> tuple[Link, ...]:
    story = tell(alert(), "raised", Reading())
    with_links = replace(story, links=links)
    return telling(Notification(alert()), with_links).links


def _with(told: Telling, **fields: Any) -> Any:
    return msgspec.json.decode(message(replace(told, **fields)))
