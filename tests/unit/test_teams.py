import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.own import silence_alert
from detector.alerts.story import Link, Reading, Row, tell
from detector.config import TeamsSinkConfig, TemplatesConfig
from detector.sinks.chat import Telling, telling
from detector.sinks.sink import Delivered, Permanent, Retry
from detector.sinks.teams.card import MAX_CARD_BYTES, message
from detector.sinks.teams.markdown import cut_markup, literal
from detector.state.store import Notification
from detector.windows.hearing import Silence
from tests.alerts import alert
from tests.hostile import SAMPLES, digest_alert, hostile, notifications, strings
from tests.records import NOON
from tests.servers.checking import Answer, Fault
from tests.servers.teams import SIGNATURE, TeamsServer, elements, fault_of
from tests.sinks import answers
from tests.strategies import examples

_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def shown(notification: Notification) -> Any:
    story = tell(notification.alert, notification.kind, Reading())
    return msgspec.json.decode(message(telling(notification, story)))


def card_of(made: Any) -> Any:
    return made["attachments"][0]["content"]


def texts(card: Any) -> list[str]:
    return [element["text"] for element in elements(card) if "text" in element]


def live(markup: str) -> str:
    """Return the signs of some Markdown that mean something, of those that the subset has."""
    return "".join(re.findall(r"[\\*_\[\]()`<>&]", _ESCAPE.sub("", markup)))


def displayed(markup: str) -> str:
    return _ESCAPE.sub(r"\1", markup)


def test_a_card_says_what_happened_and_how_bad_it_is_before_anything_else() -> None:
    card = card_of(shown(Notification(alert())))
    top = card["body"][0]
    assert (top["type"], top["style"]) == ("Container", "warning")
    told = texts(card)
    assert told[0] == card["fallbackText"] == "🟡 [MEDIUM] IAM policy changed"
    assert "PutUserPolicy" in told[1]
    assert told[told.index("who  ") + 1] == "alice"
    assert "What to do first" in told
    assert told[-1] == f"alert {alert().id} · message {alert().id}.0.raised"
    assert card["msteams"] == {"width": "full"}


def test_an_update_and_an_end_look_different_and_name_their_incident() -> None:
    made = msgspec.structs.replace(alert(), dedup_key="incident-1", level="critical")
    cards = [card_of(shown(Notification(made, kind))) for kind in ("raised", "updated", "resolved")]
    assert [card["body"][0]["style"] for card in cards] == ["attention", "attention", "good"]
    assert [texts(card)[0][0] for card in cards] == ["🔴", "🔄", "✅"]
    assert "incident-1" in texts(cards[1])[1]
    assert "is over" in texts(cards[2])[1]
    assert "What to do first" not in texts(cards[2])


def test_an_alert_of_the_detectors_own_is_told_without_events() -> None:
    silence = Silence(since=NOON, limit=7200, found=NOON + 7200, ended=None)
    made = shown(Notification(silence_alert(None, silence)))
    assert fault_of(made) == ""
    assert "The detector hears nothing" in card_of(made)["fallbackText"]


def test_a_digest_says_how_many_of_what_and_whose() -> None:
    made = shown(Notification(digest_alert()))
    assert fault_of(made) == ""
    told = " ".join(texts(card_of(made)))
    for said in ("129", "120 raised, 6 updated, 3 resolved", "<!channel> *mallory*", "digest-1"):
        assert said in told
    assert card_of(made)["body"][0]["style"] == "attention"


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_an_attacker_wrote_is_shown_as_written_and_in_no_markdown(sample: str) -> None:
    made = shown(Notification(hostile(sample)))
    assert fault_of(made) == ""
    assert {element["type"] for element in elements(card_of(made))} <= PLAIN
    told = " ".join(texts(card_of(made)))
    for row in tell(hostile(sample), "raised", Reading()).rows:
        assert row.value[:30].strip() in told


PLAIN = {"Container", "RichTextBlock", "TextRun", "Action.OpenUrl"}
"""Elements in which no text is Markdown."""


@given(notifications())
@examples(200)
def test_teams_takes_every_card_and_nothing_in_it_is_live(notification: Notification) -> None:
    made = shown(notification)
    assert fault_of(made) == ""
    assert {element["type"] for element in elements(card_of(made))} <= PLAIN
    if notification.alert.test:
        assert "[TEST]" in card_of(made)["fallbackText"]


def test_links_are_buttons_that_lead_to_the_web() -> None:
    links = (
        Link("CloudTrail console", "https://us-east-1.console.aws.amazon.com/x?y=1&z=2#/e"),
        Link("not for the web", "javascript:alert(1)"),
    )
    story = replace(tell(alert(), "raised", Reading()), links=links * 5)
    card = card_of(msgspec.json.decode(message(telling(Notification(alert()), story))))
    assert card["actions"][0] == {
        "type": "Action.OpenUrl",
        "title": "CloudTrail console",
        "url": "https://us-east-1.console.aws.amazon.com/x?y=1&z=2#/e",
    }
    assert len(card["actions"]) == 5


def test_a_card_is_shortened_until_teams_takes_it() -> None:
    rows = tuple(Row(f"row {number}", "\\" * 1_000) for number in range(40))
    made = _with(rows=rows, summary='"' * 3_000, runbook="é" * 30_000)
    assert fault_of(made) == ""
    card = card_of(made)
    assert len(msgspec.json.encode(msgspec.json.encode(card).decode())) <= MAX_CARD_BYTES
    assert "more rows are not shown" in texts(card)[-1]


async def test_templates_stand_in_place_of_the_heading_and_of_the_rest() -> None:
    hostile_text = "[x](https://evil.example) *a* `c` <b> &amp; \\"
    templates = TemplatesConfig(
        title="{{ kind }}: {{ alert.title }}",
        text="**What:** {{ alert.count }}\n\n- {{ alert.actors[0] }}\n- [wiki](https://w.example)",
    )
    with TeamsServer() as server:
        config = TeamsSinkConfig(name="teams", url=server.url, templates=templates)
        assert await answers(config, Notification(hostile(hostile_text))) == [Delivered()]
        (card,) = server.cards
    assert texts(card)[0] == "🟡 raised: IAM policy changed"
    blocks = [element["text"] for element in card["body"] if element["type"] == "TextBlock"]
    assert [blocks[0], blocks[2]] == ["**What:** 3", "- [wiki](https://w.example)"]
    assert live(blocks[1]) == ""
    assert displayed(blocks[1]) == f"- {hostile_text}"
    assert "who  " not in texts(card)


@given(strings, st.integers(2, 100))
@examples(200)
def test_markdown_is_shown_as_written_and_never_cut_within_an_escape(text: str, limit: int) -> None:
    assert live(literal(text)) == ""
    assert displayed(literal(text)) == text
    assert live(cut_markup(literal(text), limit)) == ""


@given(st.lists(strings, max_size=5).map("\n".join))
@examples(100)
def test_whatever_a_template_makes_is_a_card(markup: str) -> None:
    assert fault_of(_with(markup=literal(markup) or None)) == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(202), Delivered()),
        (Answer(200), Delivered()),
        (Answer(204), Retry("127.0.0.1 answered 204, not 202")),
        (
            Answer(400, '{"error":{"code":"BadRequest","message":"MessageSizeExceeded"}}'),
            Permanent("127.0.0.1 answered 400: BadRequest: MessageSizeExceeded"),
        ),
        (Answer(403, "[1]"), Permanent("127.0.0.1 answered 403: [1]")),
        (Answer(429, "", {"Retry-After": "7"}), Retry("127.0.0.1 answered 429", 7.0)),
        (Answer(502, "Bad gateway"), Retry("127.0.0.1 answered 502: Bad gateway")),
    ],
)
async def test_what_the_workflow_says_is_what_becomes_of_the_card(
    answer: Answer, expected: object
) -> None:
    with TeamsServer(Fault(answer)) as server:
        config = TeamsSinkConfig(name="teams", url=server.url)
        assert await answers(config, Notification(alert())) == [expected]


async def test_the_signature_is_in_no_reason_even_if_the_service_repeats_it() -> None:
    with TeamsServer() as server:
        config = TeamsSinkConfig(name="teams", url=server.url[:-1])
        (answer,) = await answers(config, Notification(alert()))
    assert isinstance(answer, Permanent)
    assert answer.why.startswith("127.0.0.1 answered 401: AuthorizationFailed: The signature")
    assert "[hidden]" in answer.why
    assert SIGNATURE[:-1] not in answer.why


async def test_a_workflow_that_is_asked_too_often_is_asked_again_later() -> None:
    with TeamsServer(per_second=1) as server:
        config = TeamsSinkConfig(name="teams", url=server.url)
        first, second = await answers(config, Notification(alert()), Notification(alert()))
    assert first == Delivered()
    assert second == Retry("127.0.0.1 answered 429: TooManyRequests: Rate limit is exceeded.", 1.0)


def _with(**fields: Any) -> Any:
    told: Telling = telling(Notification(alert()), tell(alert(), "raised", Reading()))
    return msgspec.json.decode(message(replace(told, **fields)))
