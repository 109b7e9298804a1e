"""OCSF's own schema of a Detection Finding, as its server publishes it."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from detector.alerts.formats.ocsf import SCHEMA_VERSION


@cache
def _validator() -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=SCHEMA_VERSION))
    return Draft202012Validator(schema.get_class_schema("detection_finding", profiles=["cloud"]))


def faults_of(finding: Any) -> list[str]:
    """Return what is wrong with a finding by the schema: types, unknown and missing attributes."""
    return [
        f"{error.json_path}: {error.message[:200]}" for error in _validator().iter_errors(finding)
    ]
