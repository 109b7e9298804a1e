"""What the linter says of the benchmark's own patterns, in every published form."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from detector.rules.lint import lint
from detector.rules.loader import LoadedRules
from tests.rules import rule

pytestmark = pytest.mark.conformance

EXPECTED: dict[str, list[set[str]]] = {
    "unauthorized_api_calls": [set(), {"always-true-or"}, {"mixed-operators"}],
    "console_signin_without_mfa": [{"negated-optional-field"}, {"negated-optional-field"}],
    "root_account_usage": [{"negated-optional-field"}],
    "iam_policy_changes": [{"shared-event-name"}],
    "cloudtrail_config_changes": [set()],
    "console_auth_failures": [set()],
    "disable_or_delete_cmk": [set()],
    "s3_bucket_policy_changes": [set()],
    "aws_config_changes": [set()],
    "security_group_changes": [{"shared-event-name"}, {"shared-event-name"}],
    "nacl_changes": [set()],
    "network_gateway_changes": [set()],
    "route_table_changes": [{"shared-event-name"}, {"mixed-operators", "shared-event-name"}],
    "vpc_changes": [{"shared-event-name"}],
    "organizations_changes": [set()],
}
"""The codes by control, one set for each form: 4.1 has three, the second with `||` throughout."""


def test_the_benchmarks_patterns_have_the_findings_that_are_known(reference: Path) -> None:
    path = reference / "spec" / "cis-controls.yaml"
    controls = yaml.safe_load(path.read_text(encoding="utf-8"))["controls"]
    found = {
        control["key"]: [_codes(form["pattern"]) for form in control["forms"]]
        for control in controls
        if control.get("forms")
    }
    assert found == EXPECTED


def _codes(pattern: str) -> set[str]:
    loaded = LoadedRules(rules=[rule(pattern=pattern)])
    return {str(finding.code) for finding in lint(loaded)} - {"untested"}
