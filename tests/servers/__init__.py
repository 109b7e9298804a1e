"""Servers that tests start on free ports of 127.0.0.1, and stop by their own process id."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def servers_folder() -> Path:
    """Return the folder that `make servers` installs into; DETECTOR_SERVERS names another."""
    repository = Path(__file__).parent.parent.parent
    return Path(os.environ.get("DETECTOR_SERVERS", repository / ".servers"))


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
