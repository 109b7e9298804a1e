"""What holds for all tests: hypothesis's settings, the reference data, and skips in CI."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from detector.state.sqlite import SQLiteStore
from tests.aws import Trail, moto_server
from tests.servers.localstack import localstack

# Shared machines pause at any moment, so no example is judged by its time; and CI must find the
# same on the same commit.
settings.register_profile("detector", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("detector")

REPOSITORY = Path(__file__).parent.parent
FORBID_SKIPS = "DETECTOR_FORBID_SKIPS"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of specifications and real logs that lies beside the repository."""
    folder = Path(os.environ.get("DETECTOR_REFERENCE", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no reference data in {folder}; DETECTOR_REFERENCE names another folder")
    return folder


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a moto server, which stands for AWS."""
    with moto_server(tmp_path_factory.mktemp("moto")) as host:
        yield host


@pytest.fixture(scope="session")
def localstack_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of LocalStack, which stands for AWS where moto falls short."""
    with localstack(tmp_path_factory.mktemp("localstack")) as host:
        yield host


@pytest.fixture
def trail(moto: str) -> Trail:
    return Trail(moto)


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore.in_memory() as store:
        yield store


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a run fail in which a test was skipped, where that is forbidden."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and os.environ.get(FORBID_SKIPS) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{len(skipped)} tests were skipped, which {FORBID_SKIPS} forbids")
