import ssl
from pathlib import Path

import pytest

from detector.config import WebhookSinkConfig
from detector.errors import SinkError
from detector.sinks.egress import Egress
from detector.sinks.http import HTTPClient, RequestError, Response, answer_of
from detector.sinks.sink import Delivered, Permanent
from tests.certificates import write_certificate
from tests.servers.checking import Answer, CheckingServer, Fault, Received
from tests.sinks import LOOPBACK


class Echo(CheckingServer):
    def check(self, request: Received) -> Answer:
        return Answer(body=request.body)


async def post(
    url: str, *, allow: tuple[str, ...] = LOOPBACK, ca_file: str | None = None
) -> Response:
    config = WebhookSinkConfig(name="hook", url=url, ca_file=ca_file, timeout_seconds=0.5)
    client = HTTPClient(config, Egress(allow))
    await client.open()
    try:
        return await client.post(url, b"{}", {})
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(reset=True), "127.0.0.1: "),
        (Fault(cut=True), "127.0.0.1: ClientPayloadError"),
        (Fault(slow=True), "127.0.0.1 did not answer in 0.5 s"),
    ],
)
async def test_an_answer_that_does_not_come_whole_is_none(fault: Fault, said: str) -> None:
    with Echo(fault) as server:
        if fault.slow:
            server.is_open.clear()
        with pytest.raises(RequestError, match=said) as caught:
            await post(f"{server.address}/hunter2")
    assert "hunter2" not in str(caught.value)


async def test_an_address_that_is_not_public_is_not_reached_unless_it_is_allowed() -> None:
    with Echo() as server:
        with pytest.raises(RequestError, match=r"127\.0\.0\.1 is no public address.*egress\.allow"):
            await post(server.address, allow=())
        named = server.address.replace("127.0.0.1", "localhost")
        with pytest.raises(RequestError, match=r"localhost is .*, which is no public address"):
            await post(named, allow=("10.0.0.0/8",))
        assert not server.accepted
        assert (await post(server.address)).body == b"{}"


async def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write_certificate(certificate, key, "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with Echo(tls=tls) as server:
        with pytest.raises(RequestError, match=r"127\.0\.0\.1: its certificate is not trusted"):
            await post(server.address)
        assert answer_of(await post(server.address, ca_file=str(certificate))) == Delivered()
    with pytest.raises(SinkError, match="ca_file cannot be read"):
        await post(server.address, ca_file=str(tmp_path / "none.pem"))


async def test_a_redirect_is_not_followed() -> None:
    with Echo() as other:
        fault = Fault(Answer(307, headers={"Location": other.address}))
        with Echo(fault) as server:
            answer = answer_of(await post(server.address))
        assert isinstance(answer, Permanent)
        assert not other.accepted


async def test_a_proxy_of_the_environment_is_used_but_not_for_addresses_that_are_forbidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Echo() as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await post("http://hooks.example/x", allow=())).status == 200
        assert proxy.accepted[0].headers["host"] == "hooks.example"
        with pytest.raises(RequestError, match=r"169\.254\.169\.254 is no public address"):
            await post("http://169.254.169.254/latest/meta-data", allow=())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(RequestError, match="no connection"):
            await post("http://127.0.0.1:1/x")
        assert len(proxy.accepted) == 1


@pytest.mark.parametrize(
    ("address", "is_permitted"),
    [
        ("198.51.100.7", False),
        ("8.8.8.8", True),
        ("2600::1", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("::ffff:10.0.0.1", False),
        ("::10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("::", False),
        ("example.com", False),
    ],
)
def test_only_public_addresses_are_permitted_however_they_are_written(
    address: str, is_permitted: bool
) -> None:
    assert Egress().permits(address) is is_permitted


def test_what_is_allowed_is_permitted_also_within_an_ipv6_address() -> None:
    egress = Egress(["10.0.0.0/8", "fd00::/8"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert egress.permits(address)
    assert not egress.permits("192.168.0.1")
