"""HTTP as all sinks use it: time limits, TLS that is verified, no redirects, the egress rule.

Nothing here ever shows an address: for many services it is the credential. The host alone is shown.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import AddrInfoType

from detector import __version__
from detector.alerts.text import clean
from detector.config import HTTPSink
from detector.errors import DetectorError, SinkError
from detector.sinks.egress import Egress, is_address
from detector.sinks.sink import Answer, Delivered, Permanent, Retry

RETRYABLE_STATUSES = frozenset({408, 421, 425, 429})
"""Client errors that pass by themselves; all other 4xx are the receiver's last word."""

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A receiver cannot put a page off for longer than that."""

MAX_ANSWER_BYTES = 65_536
"""What is read of an answer: no service of ours says more, and one that does is not listened to."""

MAX_SHOWN = 200
"""Characters of an answer's text that a reason quotes."""


class RequestError(DetectorError):
    """No answer came; the message names the host and no more of the address."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `body` is the beginning of it, `headers` have lower-case names."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, cut, for a reason that a person reads."""
        return clean(self.body.decode("utf-8", "replace"))[:MAX_SHOWN].strip()

    @property
    def retry_after(self) -> float | None:
        """The wait in seconds that it asks for."""
        return retry_after_seconds(self.headers.get("retry-after"))


class HTTPClient:
    """Posts to the addresses of one sink."""

    def __init__(self, config: HTTPSink, egress: Egress) -> None:
        self._config = config
        self._egress = egress
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._proxies: dict[tuple[str, str], str | None] = {}
        """The proxy of each scheme and host. To ask takes longer than to post: Python goes through
        the whole environment. A sink has few hosts, those of its configuration."""

    async def open(self) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            SinkError: the certificates of `ca_file` cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self._config.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SinkError(
                f"sink {self._config.name}: ca_file cannot be read: {error}",
                remedy="name a PEM file of certificates",
            ) from error
        for is_proxied in (False, True):
            connector = aiohttp.TCPConnector(
                ssl=context, socket_factory=None if is_proxied else _guarded(self._egress)
            )
            self._sessions[is_proxied] = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": f"cloudtrail-detector/{__version__}"},
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
            )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Post a body, and return the answer, whatever its status; redirects are not followed.

        Raises:
            RequestError: there was no answer in time, or no whole one, or the egress rule forbids
                to ask.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        proxy = self._proxy(parts.scheme, host)
        if proxy and is_address(host) and not self._egress.permits(host):
            raise RequestError(_forbidden(host, host))
        try:
            async with self._sessions[proxy is not None].post(
                url, data=body, headers=headers, allow_redirects=False, proxy=proxy
            ) as response:
                content = await _beginning(response)
                names = {name.lower(): value for name, value in response.headers.items()}
                return Response(host, response.status, names, content)
        except TimeoutError as error:
            raise RequestError(
                f"{host} did not answer in {self._config.timeout_seconds:g} s"
            ) from error
        except _EgressError as error:
            raise RequestError(_forbidden(host, error.address)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            forbidden = _forbidden_within(error)
            if forbidden is not None:
                raise RequestError(_forbidden(host, forbidden.address)) from error
            raise RequestError(f"{host}: {_described(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _proxy(self, scheme: str, host: str) -> str | None:
        """Return the proxy that the environment names for a host, None for none."""
        key = scheme, host
        if key not in self._proxies:
            self._proxies[key] = None if proxy_bypass(host) else getproxies().get(scheme)
        return self._proxies[key]


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    while len(content) < MAX_ANSWER_BYTES:
        more = await response.content.read(MAX_ANSWER_BYTES - len(content))
        if not more:
            break
        content += more
    return content


def answer_of(response: Response) -> Answer:
    """Return what a status means where a service has no words of its own for it."""
    if 200 <= response.status < 300:  # noqa: PLR2004
        return Delivered()
    said = f": {response.text}" if response.text else ""
    why = f"{response.host} answered {response.status}{said}"
    if response.status >= 500 or response.status in RETRYABLE_STATUSES:  # noqa: PLR2004
        return Retry(why, response.retry_after)
    return Permanent(why)


def retry_after_seconds(header: str | None) -> float | None:
    """Return the wait that a Retry-After header asks for, as seconds or as a date (RFC 9110)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    if seconds != seconds:  # noqa: PLR0124 - not a number, which `float` reads
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


class _EgressError(OSError):
    """A connection would lead to an address that may not be reached."""

    def __init__(self, address: str) -> None:
        super().__init__(f"egress to {address} is not allowed")
        self.address = address


def _guarded(egress: Egress) -> Callable[[AddrInfoType], socket.socket]:
    """Return what makes the socket of each connection, once its address is known."""

    def make(info: AddrInfoType) -> socket.socket:
        family, type_, protocol, _, address = info
        if not egress.permits(str(address[0])):
            raise _EgressError(str(address[0]))
        return socket.socket(family=family, type=type_, proto=protocol)

    return make


def _forbidden(host: str, address: str) -> str:
    named = address if host == address else f"{host} is {address}, which"
    return f"{named} is no public address; add its network to egress.allow if it is meant"


def _forbidden_within(error: BaseException) -> _EgressError | None:
    """Return the refusal that another error was made from, None where it is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _EgressError):
            return seen
        if isinstance(seen, BaseExceptionGroup):
            return next(filter(None, map(_forbidden_within, seen.exceptions)), None)
        seen = getattr(seen, "os_error", None) or seen.__cause__
    return None


def _described(error: Exception) -> str:
    """Return what went wrong, without an address: aiohttp's own texts hold it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or type(error.os_error).__name__}"
    return type(error).__name__
