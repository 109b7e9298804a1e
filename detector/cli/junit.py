"""Test results as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document can hold, in whatever spelling."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `failure` says in a line what went wrong, `details` in many."""

    name: str
    group: str
    failure: str | None = None
    details: str = ""
    is_error: bool = False
    """Whether the test could not be run at all."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file."""

    name: str
    cases: Sequence[Case]


def junit_xml(name: str, suites: Sequence[Suite]) -> bytes:
    """Return the document."""
    root = ET.Element("testsuites", {"name": _text(name), **_counts(suites)})
    for suite in suites:
        element = ET.SubElement(root, "testsuite", {"name": _text(suite.name), **_counts([suite])})
        for case in suite.cases:
            attributes = {"classname": _text(case.group), "name": _text(case.name)}
            test = ET.SubElement(element, "testcase", attributes)
            if case.failure is not None:
                kind = "error" if case.is_error else "failure"
                found = ET.SubElement(test, kind, {"message": _text(case.failure)})
                found.text = _text(case.details)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(suites: Sequence[Suite]) -> dict[str, str]:
    cases = [case for suite in suites for case in suite.cases]
    wrong = [case for case in cases if case.failure is not None]
    errors = sum(case.is_error for case in wrong)
    return {
        "tests": str(len(cases)),
        "failures": str(len(wrong) - errors),
        "errors": str(errors),
    }


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
