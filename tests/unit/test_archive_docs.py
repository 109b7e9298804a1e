"""The page on the archive: its table has the schema's columns, and its program runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from detector.config import ArchiveSinkConfig
from detector.sinks.archive.record import SCHEMA_JSON
from detector.state.store import Notification
from tests.alerts import alert
from tests.conftest import REPOSITORY
from tests.sinks import answers

PAGE = (REPOSITORY / "docs" / "sinks" / "archive.md").read_text()
TYPES = {"string": "string", "long": "bigint", "double": "double", "boolean": "boolean"}


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def hive_type(schema: Any) -> str:
    """Return the type that Hive reads a schema as. Source: Apache Hive's wiki, "AvroSerDe"."""
    if isinstance(schema, str):
        return TYPES[schema]
    if isinstance(schema, list):
        assert schema[0] == "null"
        return hive_type(schema[1])
    if "logicalType" in schema:
        return "timestamp"
    if schema["type"] == "array":
        return f"array<{hive_type(schema['items'])}>"
    if schema["type"] == "map":
        return f"map<string,{hive_type(schema['values'])}>"
    fields = [f"{field['name']}:{hive_type(field['type'])}" for field in schema["fields"]]
    return f"struct<{','.join(fields)}>"


def test_the_tables_columns_are_the_schemas() -> None:
    columns = re.findall(r"^  (\w+) ([\w<>:,]+?),?$", block("sql"), re.MULTILINE)
    fields = json.loads(SCHEMA_JSON)["fields"]
    assert columns == [(field["name"], hive_type(field["type"])) for field in fields]


async def test_the_program_reads_an_archive(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    sent = Notification(alert())
    await answers(ArchiveSinkConfig(name="archive", path=str(root)), sent, sent)
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", block("python")],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.endswith("raised medium IAM policy changed ['alice'] ['PutUserPolicy']")
