"""A state that fails: what the operator reads, what is left as it was, what is not acknowledged."""

import ctypes
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from detector.state.sqlite import SQLiteStore
from detector.state.store import Quarantined
from tests.aws import CREDENTIALS, Trail
from tests.records import log_file, record, zipped_log_file
from tests.sample_logs import SAMPLE_LOGS, SAMPLE_RECORDS
from tests.service_process import Service, running

pytestmark = pytest.mark.integration

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2


def detector(
    *arguments: str | Path, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "detector", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=prepare,
    )


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that failed has said, which is one line and no traceback."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("detector: ")
    return line


def without_override() -> None:
    """Let permissions bind even the superuser, as whom tests run in some containers."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def at_most(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration on the sample logs."""
    shutil.copytree(SAMPLE_LOGS, tmp_path / "logs")
    path = tmp_path / "detector.yaml"
    path.write_text(
        "sources: [{type: directory, path: logs, settle_seconds: 0.01, poll_seconds: 0.05}]\n"
        "telemetry: {port: 0}\nstate: {path: state/state.sqlite3}\n"
    )
    return path


@pytest.fixture
def state(config: Path) -> Path:
    """The path of a state in some hundred KiB."""
    path = config.parent / "state" / "state.sqlite3"
    with SQLiteStore.open(path) as store, store.transaction(0) as transaction:
        for number in range(100):
            transaction.quarantine(Quarantined("s", "o", number, "why", b"x" * 3_000))
    return path


def harm_middle(whole: bytes) -> bytes:
    middle = len(whole) // 2 // 4096 * 4096
    return (
        whole[:middle]
        + bytes(byte ^ 0xFF for byte in whole[middle:][:4096])
        + whole[middle + 4096 :]
    )


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) * 2 // 3]


@pytest.mark.parametrize("harm", [harm_middle, cut])
def test_a_damaged_state_stops_the_start_and_what_can_be_read_is_saved(
    config: Path, state: Path, harm: Callable[[bytes], bytes]
) -> None:
    harmed = harm(state.read_bytes())
    state.write_bytes(harmed)
    said = one_sentence(detector("run", "--config", config))
    assert f"the state {state} is damaged: " in said
    assert (
        "restore it from a backup or an export, or move it aside; `detector state export`" in said
    )
    assert detector("state", "check", "--config", config).returncode == 1
    assert "is damaged" in one_sentence(detector("state", "compact", "--config", config))
    assert detector("state", "export", "--config", config, state.parent / "x").returncode == 1
    assert state.read_bytes() == harmed
    state.rename(state.with_name("aside"))
    for rest in state.parent.glob("state.sqlite3-*"):
        rest.unlink()
    assert detector("state", "import", "--config", config, state.parent / "x").returncode == 0
    with SQLiteStore.open(state) as store:
        assert 40 < len(store.quarantined()) < 100


def test_a_database_of_another_program_stops_the_start(config: Path, state: Path) -> None:
    state.unlink()
    with closing(sqlite3.connect(state)) as connection:
        connection.execute("CREATE TABLE bookmarks (x)")
    before = state.read_bytes()
    assert "is another program's database" in one_sentence(detector("run", "--config", config))
    assert state.read_bytes() == before


def test_a_state_in_a_folder_that_is_read_only_can_be_looked_at_and_not_run_on(
    config: Path, state: Path
) -> None:
    before = state.read_bytes()
    state.with_name("state.sqlite3.lock").unlink()
    state.parent.chmod(0o555)
    try:
        done = detector("run", "--config", config, prepare=without_override)
        assert "cannot be opened: [Errno 13] Permission denied" in one_sentence(done)
        assert "check state.path: its folder must be writable" in done.stderr
        shown = detector("state", "inspect", "--state", state, prepare=without_override)
        assert "quarantine why: 100" in shown.stdout
        checked = detector("state", "check", "--state", state, prepare=without_override)
        assert checked.returncode == 0
    finally:
        state.parent.chmod(0o755)
    assert state.read_bytes() == before


def test_a_state_file_that_is_read_only_is_not_run_on(config: Path, state: Path) -> None:
    before = state.read_bytes()
    state.chmod(0o444)
    done = detector("run", "--config", config, prepare=without_override)
    said = one_sentence(done)
    assert "attempt to write a readonly database; make the file and its folder writable" in said
    assert state.read_bytes() == before


def test_a_state_that_another_process_has_locked_is_not_run_on(config: Path, state: Path) -> None:
    with closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM seen")
        said = one_sentence(detector("run", "--config", config))
    assert "database is locked; end the other program that has it open" in said


def folder_of_logs(folder: Path) -> dict[str, Any]:
    """Make a folder for logs, and return a configuration that reads it."""
    (folder / "logs").mkdir()
    source = {"type": "directory", "path": "logs", "settle_seconds": 0.01, "poll_seconds": 0.05}
    return {"sources": [source], "state": {"path": "state.sqlite3"}}


@contextmanager
def work_behind_a_lock(service: Service, folder: Path) -> Iterator[None]:
    """Deliver a log file while the state cannot be written, as an operator's transaction does."""
    service.wait_until(lambda: service.get("/readyz")[0] == 200)
    with closing(sqlite3.connect(folder / "state.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (folder / "logs" / "a.json").write_bytes(log_file(record()))
        yield
        assert service.alerts == []
        other.execute("ROLLBACK")


def assert_counted_once(service: Service) -> None:
    service.wait_until(lambda: service.alerts)
    assert [alert["count"] for alert in service.alerts] == [1]
    assert service.stop() == 0


def test_a_state_that_is_locked_for_a_moment_holds_work_up_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with running(tmp_path, folder_of_logs(tmp_path)) as service:
        with work_behind_a_lock(service, tmp_path):
            service.wait_until(lambda: service.metrics()["detector_in_hand_bytes"])
        assert_counted_once(service)


def test_a_state_that_stays_locked_ends_the_service_and_the_next_start_loses_nothing(
    tmp_path: Path,
) -> None:
    settings = folder_of_logs(tmp_path)
    with running(tmp_path, settings) as service, work_behind_a_lock(service, tmp_path):
        assert service.process.wait(60) == 1
        failed = [line for line in service.log if line["event"] == "failed for good"]
        assert "database is locked; end the other program" in failed[0]["error"]
    with running(tmp_path, settings) as service:
        assert_counted_once(service)


def test_a_running_service_can_be_looked_at_but_its_state_not_rewritten(config: Path) -> None:
    folder = config.parent
    settings: dict[str, Any] = {
        "sources": [{"type": "directory", "name": "logs", "path": "logs", "settle_seconds": 0.01}],
        "state": {"path": "state/state.sqlite3"},
    }
    with running(folder, settings) as service:
        service.wait_until(lambda: service.records("logs")["in"] == SAMPLE_RECORDS["in"])
        shown = detector("state", "inspect", "--config", config)
        assert f"seen {SAMPLE_RECORDS['matched']}," in shown.stdout
        assert detector("state", "check", "--config", config).returncode == 0
        assert detector("state", "export", "--config", config, folder / "x").returncode == 0
        for command in (["compact"], ["import", folder / "x"]):
            done = detector("state", *command[:1], "--config", config, *command[1:])
            assert "is in use by another detector; stop that one" in one_sentence(done)
        assert service.stop() == 0
    assert detector("state", "compact", "--config", config).returncode == 0
    moved = detector("state", "import", "--state", folder / "new", folder / "x")
    assert moved.returncode == 0


def test_a_disk_that_is_full_leaves_no_part_of_an_export(state: Path) -> None:
    target = state.parent / "x.avro"
    with SQLiteStore.open(state) as store, store.transaction(0) as transaction:
        for number in range(20):
            transaction.quarantine(Quarantined("t", "o", number, "why", os.urandom(9_000)))
    done = detector("state", "export", "--state", state, target, prepare=at_most(40_000))
    assert "x.avro cannot be written: File too large; check its folder" in one_sentence(done)
    assert not list(state.parent.glob("x.avro*"))


def test_a_disk_that_is_full_imports_nothing_and_compacts_nothing(state: Path) -> None:
    exported, new = state.parent / "x.avro", state.parent / "new.sqlite3"
    assert detector("state", "export", "--state", state, exported).returncode == 0
    limit = at_most(state.stat().st_size // 2)
    done = detector("state", "import", "--state", new, exported, prepare=limit)
    assert "cannot be written: " in one_sentence(done)
    assert "check the disk that holds state.path for space" in done.stderr
    assert detector("state", "import", "--state", new, exported).returncode == 0
    done = detector("state", "compact", "--state", state, prepare=limit)
    assert "cannot be written: " in one_sentence(done)
    with SQLiteStore.open(state) as store:
        assert len(store.quarantined()) == 100


def fill_disk(service: Service, state: Path) -> None:
    """Let no file of the service grow any further."""
    log = state.with_name(f"{state.name}-wal")
    size = log.stat().st_size
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, size))


def assert_failed_for_good(service: Service) -> None:
    assert service.process.wait(60) == 1
    failed = [line for line in service.log if line["event"] == "failed for good"]
    assert "cannot be written: " in failed[0]["error"]
    assert "check the disk that holds state.path for space" in failed[0]["error"]
    assert service.alerts == []


def test_what_cannot_be_committed_is_not_acknowledged_to_the_queue(
    trail: Trail, tmp_path: Path
) -> None:
    state = tmp_path / "state" / "detector.sqlite3"
    settings = trail.config(visibility_timeout_seconds=6)
    with running(tmp_path, settings, CREDENTIALS) as service:
        service.wait_until(lambda: service.get("/readyz")[0] == 200)
        fill_disk(service, state)
        trail.put("a.json.gz", zipped_log_file(record()))
        assert_failed_for_good(service)
    assert sum(trail.queue_counts()) == 1
    assert trail.published() == []
    with running(tmp_path, settings, CREDENTIALS) as service:
        service.wait_until(lambda: trail.queue_counts() == (0, 0))
        assert service.stop() == 0
    assert [alert["count"] for alert in trail.published()] == [1]


def test_what_cannot_be_committed_is_read_again_from_its_folder(tmp_path: Path) -> None:
    settings = folder_of_logs(tmp_path)
    with running(tmp_path, settings) as service:
        service.wait_until(lambda: service.get("/readyz")[0] == 200)
        fill_disk(service, tmp_path / "state.sqlite3")
        (tmp_path / "logs" / "a.json").write_bytes(log_file(record()))
        assert_failed_for_good(service)
    with running(tmp_path, settings) as service:
        assert_counted_once(service)
    with suppress(FileNotFoundError):
        assert not (tmp_path / "state.sqlite3-wal").stat().st_size
