import base64
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from detector.config import BodyFormat, WebhookSinkConfig, load_config
from detector.errors import ConfigError
from detector.sinks.signing import key_of, signature_header
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, message_id
from detector.sinks.webhook import MAX_BODY_BYTES
from detector.state.store import Notification
from tests.alerts import alert
from tests.servers.checking import Answer as Said
from tests.servers.checking import Fault
from tests.servers.standard_webhooks import StandardWebhooksServer
from tests.sinks import answers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"y" * 64).decode()


def webhook(server: StandardWebhooksServer, **settings: object) -> WebhookSinkConfig:
    return WebhookSinkConfig(name="hook", url=f"{server.address}/in", **settings)  # type: ignore[arg-type]


async def send(config: WebhookSinkConfig, notification: Notification) -> Answer:
    (answer,) = await answers(config, notification)
    return answer


def test_the_published_vector_is_signed_as_published() -> None:
    signed = signature_header(
        [key_of(SECRET)],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    keys=st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3),
    body=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_key_signs_so_that_a_receiver_needs_to_know_one(keys: list[bytes], body: str) -> None:
    now = int(time.time())
    secrets = ["whsec_" + base64.b64encode(key).decode() for key in keys]
    signed = signature_header(map(key_of, secrets), "id.1.raised", now, body.encode())
    headers = {
        "webhook-id": "id.1.raised",
        "webhook-timestamp": str(now),
        "webhook-signature": signed,
    }
    for secret in secrets:
        Webhook(secret).verify(body, headers, json_parse=False)


async def test_a_signed_message_is_taken_by_whoever_knows_one_of_the_secrets() -> None:
    for known in (SECRET, OTHER):
        with StandardWebhooksServer(secrets=(known,)) as server:
            config = webhook(server, signing_secrets=(OTHER, SECRET))
            assert await send(config, Notification(alert())) == Delivered()
            (request,) = server.accepted
            assert len(request.headers["webhook-signature"].split()) == 2


async def test_a_receiver_with_another_secret_refuses_for_good() -> None:
    with StandardWebhooksServer(secrets=(OTHER,)) as server:
        answer = await send(webhook(server, signing_secrets=(SECRET,)), Notification(alert()))
    assert answer == Permanent("127.0.0.1 answered 401: No matching signature found")


async def test_a_repetition_has_the_same_id_and_body_and_a_time_of_its_own() -> None:
    made = msgspec.structs.replace(alert(), revision=3)
    first, again = Notification(made, made_at=1e9), Notification(made, attempts=1, made_at=1e9)
    lost = Fault(reset=True, taken=True)
    with StandardWebhooksServer(lost, secrets=(SECRET,)) as server:
        before = int(time.time())
        said = await answers(webhook(server, signing_secrets=(SECRET,)), first, again)
        assert isinstance(said[0], Retry)
        assert said[1] == Delivered()
        assert server.ids == [message_id(first)] * 2 == [f"{made.id}.3.raised"] * 2
        lost_one, repeated = server.accepted
        assert lost_one.body == repeated.body
        assert before <= int(repeated.headers["webhook-timestamp"]) <= time.time()


@pytest.mark.parametrize(
    ("format_", "content_type"),
    [
        ("standard", "application/json"),
        ("alert", "application/json"),
        ("cloudevents", "application/cloudevents+json"),
        ("ocsf", "application/json"),
    ],
)
async def test_every_format_is_sent_with_its_media_type_and_signed(
    format_: BodyFormat, content_type: str
) -> None:
    with StandardWebhooksServer(
        secrets=(SECRET,), is_payload_checked=format_ == "standard"
    ) as server:
        config = webhook(server, signing_secrets=(SECRET,), format=format_)
        assert await send(config, Notification(alert())) == Delivered()
        (request,) = server.accepted
        assert request.headers["content-type"] == content_type
        assert isinstance(request.json, dict)


async def test_a_message_is_never_longer_than_servers_take() -> None:
    large = msgspec.structs.replace(alert(), evidence=[{"x": "y" * 400_000}] * 5)
    with StandardWebhooksServer() as server:
        assert await send(webhook(server), Notification(large)) == Delivered()
        (request,) = server.accepted
    assert len(request.body) <= MAX_BODY_BYTES
    assert len(request.json["data"]["evidence"]) == 2
    assert request.json["data"]["truncated"] == ["evidence"]


async def test_a_receiver_that_is_gone_wants_no_more() -> None:
    with StandardWebhooksServer(Fault(Said(410, "bye"))) as server:
        answer = await send(webhook(server), Notification(alert()))
    assert isinstance(answer, Permanent)
    assert answer.why.startswith("127.0.0.1 answered 410: it wants no more messages, ever")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_receiver_under_load_is_given_the_time_it_asks_for(status: int) -> None:
    with StandardWebhooksServer(Fault(Said(status, headers={"Retry-After": "7"}))) as server:
        answer = await send(webhook(server), Notification(alert()))
    assert answer == Retry(f"127.0.0.1 answered {status}", 7.0)


async def test_a_redirect_is_not_followed() -> None:
    with StandardWebhooksServer() as target:
        there = Said(307, headers={"Location": target.address})
        with StandardWebhooksServer(Fault(there)) as server:
            assert isinstance(await send(webhook(server), Notification(alert())), Permanent)
        assert not target.accepted


@pytest.mark.parametrize(
    "secret",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_hunter2hunter2",
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La!aSw",
        "whsec_",
    ],
)
def test_a_secret_that_is_none_is_found_at_load_and_not_shown(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text(
        "sources: [{type: directory, path: x}]\n"
        f"sinks: [{{type: webhook, url: 'http://h/', signing_secrets: ['{SECRET}', '{secret}']}}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = str(caught.value)
    assert f"{path}:2:9: " in said
    assert "signing_secrets[1] is whsec_ and the base64 of 24 to 64 random bytes" in said
    assert "openssl rand" in said
    assert SECRET not in said
    assert secret == "whsec_" or secret not in said


def test_secrets_without_padding_are_taken() -> None:
    assert key_of("whsec_" + base64.b64encode(b"x" * 25).decode().rstrip("=")) == b"x" * 25


def test_a_secret_is_shown_by_no_configuration() -> None:
    config = WebhookSinkConfig(name="hook", url="http://h/", signing_secrets=(SECRET,))
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    "name", ["Content-Type", "webhook-id", "Webhook-Timestamp", "webhook-signature"]
)
def test_headers_of_the_sinks_own_are_not_the_users(name: str) -> None:
    with pytest.raises(ValueError, match=f"the header {name} is the sink's own"):
        WebhookSinkConfig(name="hook", url="http://h/", headers={name: "x"})
