from collections.abc import Iterator

import pytest

from tests.aws import Trail, moto_server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as host:
        yield host


@pytest.fixture
def trail(moto: str) -> Trail:
    return Trail(moto)
