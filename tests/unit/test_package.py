"""What is installed is whole, and what is committed is clean."""

import subprocess
import sys
import zipfile
from pathlib import Path

from detector import RuleSet
from tests.conftest import REPOSITORY


def test_the_wheel_holds_the_shipped_rules_the_type_marker_and_the_archives_schema(
    tmp_path: Path,
) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    package = tmp_path / "unpacked" / "detector"
    assert (package / "py.typed").exists()
    assert (package / "sinks" / "archive" / "alert.avsc").exists()
    assert set(RuleSet.load(package / "shipped_rules").rules) == set(
        RuleSet.load(REPOSITORY / "rules").rules
    )
    listed = subprocess.run(
        [sys.executable, "-m", "detector", "check"],
        cwd=tmp_path / "unpacked",
        check=True,
        capture_output=True,
        text=True,
    )
    assert ", 0 faults" in listed.stdout


def test_every_requirement_is_pinned_with_a_hash_and_names_no_registry() -> None:
    for path in (REPOSITORY / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        for line in text.splitlines():
            assert line.startswith("    --hash=sha256:") or "==" in line, line
