from hypothesis import given
from hypothesis import strategies as st

from detector.backoff import CAP_SECONDS, backoff_seconds


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_half_of_its_ceiling_and_the_ceiling(
    failures: int, chance: float
) -> None:
    ceiling = min(CAP_SECONDS, 2.0 ** min(failures - 1, 1000))
    assert ceiling / 2 <= backoff_seconds(failures, lambda: chance) <= ceiling


def test_waits_double_up_to_the_cap() -> None:
    waits = [backoff_seconds(n, lambda: 1.0, base=1, cap=10) for n in range(1, 7)]
    assert waits == [1, 2, 4, 8, 10, 10]
