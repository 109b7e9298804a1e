"""Signatures of webhooks, by which a receiver knows that a message is ours and not a replay.

Source: Standard Webhooks 1.0.0, "Signature scheme": symmetric signatures, version v1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"

MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64
"""What the standard allows; more would be hashed to less."""


def key_of(secret: str) -> bytes:
    """Return the key that a secret holds; padding may be missing, as in some tools' output.

    Raises:
        ValueError: it is none. The message does not show it.
    """
    encoded = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if encoded == secret or not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"is {PREFIX} and the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} random bytes;"
            ' make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def signature_header(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature`: one signature for each key, any of which a receiver may know.

    `timestamp`, in seconds, is that of the attempt. What is signed is delimited by full stops, and
    an id may hold some as long as nobody else chooses it: ours are hexadecimal, a number, a word.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys
    )
