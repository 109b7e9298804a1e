import gzip
import tracemalloc

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.envelopes.compression import inflate
from detector.errors import PayloadError
from tests.compressed import bomb

CAP = 1 << 20


def reason(body: bytes, max_bytes: int = CAP) -> str:
    with pytest.raises(PayloadError) as caught:
        inflate(body, max_bytes=max_bytes)
    return caught.value.reason


@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=4), st.integers(0, 9))
def test_any_members_in_a_row_are_inflated(parts: list[bytes], level: int) -> None:
    body = b"".join(gzip.compress(part, level) for part in parts)
    assume(not b"".join(parts).startswith(b"\x1f\x8b"))  # else it is inflated once more
    assert inflate(body, max_bytes=CAP) == b"".join(parts)


@given(st.binary(min_size=1))
def test_what_does_not_begin_like_gzip_is_left_alone(body: bytes) -> None:
    if not body.startswith(b"\x1f\x8b"):
        assert inflate(body, max_bytes=CAP) == body


@given(st.binary(max_size=2000), st.data())
def test_damage_anywhere_is_noticed_or_harmless(content: bytes, data: st.DataObject) -> None:
    body = bytearray(gzip.compress(content))
    place = data.draw(st.integers(2, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        result = inflate(bytes(body), max_bytes=CAP)
    except PayloadError as error:
        assert error.reason in {"corrupt", "truncated", "too_large"}
    else:
        # The header's time and system and some padding bits mean nothing.
        assert result == content


@given(st.binary(max_size=2000), st.data())
def test_a_cut_anywhere_is_noticed(content: bytes, data: st.DataObject) -> None:
    body = gzip.compress(content)
    cut = data.draw(st.integers(2, len(body) - 1))
    assert reason(body[:cut]) == "truncated"


def test_zero_padding_after_the_last_member_is_legal() -> None:
    assert inflate(gzip.compress(b"x") + bytes(100), max_bytes=CAP) == b"x"


def test_other_bytes_after_the_last_member_are_damage() -> None:
    assert reason(gzip.compress(b"x") + b"not gzip" * 3) == "corrupt"


def test_an_empty_body_is_rejected() -> None:
    assert reason(b"") == "empty"


def test_the_cap_is_exact_for_both_kinds_of_body() -> None:
    for body in (b"x" * 1000, gzip.compress(b"x" * 1000), gzip.compress(b"x" * 500) * 2):
        assert inflate(body, max_bytes=1000) == b"x" * 1000
        assert reason(body, max_bytes=999) == "too_large"


def test_a_bomb_never_takes_much_more_memory_than_the_cap() -> None:
    body = bomb(200 << 20)
    assert len(body) < 256 << 10
    tracemalloc.start()
    try:
        assert reason(body, max_bytes=8 << 20) == "too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


def test_gzip_within_gzip_is_inflated_and_gzip_within_that_refused() -> None:
    members = gzip.compress(b"x") + gzip.compress(b"y")
    twice = gzip.compress(members[:9]) + gzip.compress(members[9:])
    assert inflate(twice, max_bytes=CAP) == b"xy"
    assert reason(gzip.compress(twice)) == "too_deep"


def test_a_bomb_inside_a_bomb_is_held_to_the_cap() -> None:
    assert reason(gzip.compress(bomb(10 << 20))) == "too_large"
