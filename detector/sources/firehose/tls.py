"""The certificate with which a server answers, and another one when its files change.

What listens keeps one SSL context for as long as it listens. Each handshake is handed over to the
context of the newest good certificate: connections that stand are left alone, and there is no
moment in which a new certificate is in force without its key.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from detector.config import TLSConfig
from detector.errors import SourceError
from detector.rule_source import Fingerprint, Settling, mark


class Certificate:
    """A certificate and key from files. `context` is what to listen with."""

    def __init__(self, config: TLSConfig) -> None:
        """Read the files.

        Raises:
            SourceError: they cannot be read, or do not belong together.
        """
        self._config = config
        self._settling = Settling(self._fingerprint())
        self.context = self._current = self._read()
        self.context.sni_callback = self._hand_over

    def reload_changed(self) -> bool:
        """Take one look; read the files if they have changed and come to rest.

        Returned is whether there is a new certificate.

        Raises:
            SourceError: they have changed and are no good; the old ones stay in force.
        """
        seen = self._fingerprint()
        if not self._settling.is_due(seen):
            return False
        self._settling.has_read(seen)
        self._current = self._read()
        return True

    def _hand_over(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        # Called in each handshake, also in one that names no server.
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password given, OpenSSL would ask for one on the terminal, and wait.
            context.load_cert_chain(self._config.certificate, self._config.key, password="")
        except OSError as error:  # ssl.SSLError is one
            why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise SourceError(
                f"the certificate {self._config.certificate} with the key {self._config.key}"
                f" cannot be used: {why or 'it is not PEM, or the key is encrypted'}",
                remedy="tls.certificate is a PEM file with the chain, tls.key its key in the clear",
            ) from error
        return context

    def _fingerprint(self) -> Fingerprint:
        files = (self._config.certificate, self._config.key)
        return {file: mark(Path(file)) for file in files}
