"""Where a sink sends to, as it fails and comes back: a service at one address, or a folder."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Protocol

from detector.config import SinkConfig
from tests.certificates import write_certificate
from tests.servers.checking import CheckingServer, Fault
from tests.waiting import wait_for
from tests.ways_out import Told, WayOut, archive_config, archived


class Place(Protocol):
    """What a sink sends to. `told` is all that it has taken, in order, once the sink is closed."""

    def fail(self) -> None:
        """Take nothing from now on."""
        ...

    def recover(self) -> int:
        """Take everything again; return how much it was told before that."""
        ...

    @property
    def told(self) -> list[Told]: ...

    def close(self) -> None: ...


class Service:
    """A service at an address that stays, whatever serves there: the port is held while none does.

    `folder` is for its certificates, of which it has one if `is_tls`.
    """

    def __init__(self, way: WayOut, folder: Path, fault: str = "", *, is_tls: bool = False) -> None:
        self._way = way
        self._fault = fault
        self._folder = folder
        self._is_tls = is_tls
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self._port = self._held.getsockname()[1]
        self._servers: list[CheckingServer] = []
        self._is_running = False
        for name in ("right", "wrong") if is_tls else ():
            write_certificate(folder / f"{name}.pem", folder / f"{name}.key", name)
        self.start()

    @property
    def ca_file(self) -> str | None:
        """The certificate to trust."""
        return str(self._folder / "right.pem") if self._is_tls else None

    @property
    def server(self) -> CheckingServer:
        """What serves now, or did so last."""
        return self._servers[-1]

    @property
    def address(self) -> str:
        """Where it is, without a path."""
        return f"{'https' if self._is_tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def told(self) -> list[Told]:
        """What it has taken."""
        return [
            told
            for server in self._servers
            for request in server.accepted
            for told in self._way.read(request)
        ]

    def config(self, **settings: object) -> SinkConfig:
        """Return the configuration of a sink that sends here."""
        return self._way.config(self.address, ca_file=self.ca_file, **settings)

    def start(self, certificate: str = "right") -> None:
        """Begin to serve, with nothing wrong."""
        tls = None
        if self._is_tls:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            path = self._folder / certificate
            tls.load_cert_chain(path.with_suffix(".pem"), path.with_suffix(".key"))
        self._servers.append(self._way.serve().at(self._port, tls).__enter__())
        self._is_running = True

    def stop(self) -> None:
        """Serve no more: connections are refused."""
        if self._is_running:
            self.server.__exit__()
        self._is_running = False

    def fail(self) -> None:
        """Begin the fault that it was made for."""
        server = self.server
        match self._fault:
            case "down":
                self.stop()
            case "slow":
                server.is_open.clear()
                server.always = Fault(slow=True)
            case "busy":
                server.always = Fault(answer=self._way.busy)
            case "broken":
                server.always = Fault(answer=self._way.broken)
            case "reset":
                server.always = Fault(reset=True)
            case "cut":
                server.always = Fault(cut=True)
            case "untrusted":
                self.stop()
                self.start("wrong")
            case other:
                raise AssertionError(other)

    def recover(self) -> int:
        """Be as before. What it was too slow for is taken late, as it would be."""
        self.server.always = None
        self.server.is_open.set()
        if self._fault == "slow":
            wait_for(lambda: len(self.told) > len(self.server.faulted))
        if self._fault in {"down", "untrusted"}:
            self.stop()
            self.start()
        return len(self.told)

    def close(self) -> None:
        """End it."""
        self.stop()
        self._held.close()


class ArchiveFolder:
    """The folder of an archive, in which for a while nothing can be made, not even by root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "archive"
        self._work, self._aside = self.folder / ".open", self.folder / ".aside"
        self._before = 0

    @property
    def told(self) -> list[Told]:
        """What is in its files."""
        return archived(self.folder)

    def config(self) -> SinkConfig:
        """Return the configuration of an archive here."""
        return archive_config(self.folder)

    def fail(self) -> None:
        """Have a file where the folder was in which files are begun."""
        # A file is full with one alert; that it is in its place is not waited for by any sender.
        wait_for(lambda: not any(self._work.iterdir()))
        self._before = len(self.told)
        self._work.rename(self._aside)
        self._work.touch()

    def recover(self) -> int:
        """Put the folder back."""
        now = len(self.told)
        self._work.unlink()
        self._aside.rename(self._work)
        return now

    def close(self) -> None:
        """Leave it to pytest."""
