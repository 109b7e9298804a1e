"""Security Hub's BatchImportFindings, which takes what its reference allows and nothing else.

Source: AWS Security Hub API Reference, "AwsSecurityFinding" and "BatchImportFindings". That types
and required fields are right is for botocore's own validator to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.servers.checking import Answer, CheckingServer, Received, RefusedError

_TEXT = re.compile(r".*\S.*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_TYPE = re.compile(
    r"(Software and Configuration Checks|TTPs|Effects|Unusual Behaviors"
    r"|Sensitive Data Identifications)(/[^/]+){0,2}"
)
_LENGTHS = {"Id": 512, "GeneratorId": 512, "Title": 256, "Description": 1024}
_MAX_FINDING_BYTES = 240_000


class SecurityHubServer(CheckingServer):
    """The service, as the account that it is asked for has it."""

    def check(self, request: Received) -> Answer:
        if (request.method, request.path) != ("POST", "/findings/import"):
            raise RefusedError(Answer(404, '{"Message":"not found"}'))
        findings = request.json["Findings"]
        if not 1 <= len(findings) <= 100:
            refusal = {"x-amzn-ErrorType": "InvalidInputException"}
            raise RefusedError(Answer(400, '{"Message":"1 to 100 findings"}', refusal))
        for finding in findings:
            try:
                self.check_finding(finding)
            except AssertionError as error:
                raise RefusedError(self.failed("InvalidInput", str(error))) from error
        return _answer({"SuccessCount": len(findings), "FailedCount": 0, "FailedFindings": []})

    @staticmethod
    def failed(code: str, message: str) -> Answer:
        """Return the answer to a call whose finding was not taken: a success, by its status."""
        failed = {"Id": "x", "ErrorCode": code, "ErrorMessage": message}
        return _answer({"SuccessCount": 0, "FailedCount": 1, "FailedFindings": [failed]})

    @staticmethod
    def check_finding(finding: dict[str, Any]) -> None:
        """Fail where a finding is beyond a documented limit."""
        for text in _texts(finding):
            assert _TEXT.fullmatch(text), f"{text!r} is not text on one line"
        for name, most in _LENGTHS.items():
            assert len(finding[name]) <= most, f"{name} should NOT be longer than {most}"
        for name in ("CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"):
            assert _TIME.fullmatch(finding[name]), name
        assert re.fullmatch(r"\d{12}", finding["AwsAccountId"])
        assert finding["SchemaVersion"] == "2018-10-08"
        assert finding["CreatedAt"] <= finding["UpdatedAt"]
        assert finding["FirstObservedAt"] <= finding["LastObservedAt"]
        assert finding["FindingProviderFields"]["Types"]
        assert 1 <= len(finding["Types"]) <= 50
        assert all(map(_TYPE.fullmatch, finding["Types"])), finding["Types"]
        fields = finding["ProductFields"]
        assert len(fields) <= 50
        for key, value in fields.items():
            assert len(key) <= 128, key
            assert len(value) <= 2048, key
            assert not key.startswith("aws/"), key
        resources = finding["Resources"]
        assert 1 <= len(resources) <= 32
        for resource in resources:
            assert 1 <= len(resource["Type"]) <= 256
            assert 1 <= len(resource.get("Region", "x")) <= 16
        text = finding.get("Remediation", {}).get("Recommendation", {}).get("Text", "x")
        assert 1 <= len(text) <= 512
        assert len(msgspec.json.encode(finding)) <= _MAX_FINDING_BYTES


def _answer(body: dict[str, Any]) -> Answer:
    return Answer(200, msgspec.json.encode(body), {"Content-Type": "application/json"})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
