"""The first steps of a runbook: what fits into a message that wakes somebody."""

from __future__ import annotations

import re

from detector.alerts.plain import cut, plain

MAX_RUNBOOK_CHARACTERS = 1_200
"""All of most runbooks, and the first steps of the longest."""

_STEP = re.compile(r"(?m)^\s*(?=(?:[0-9]{1,2}[.)]|[-*])\s)")
_BLANK = re.compile(r"\n\s*\n")
_MAX_CHARACTERS = 20_000


def first_steps(runbook: str) -> str:
    """Return a runbook's first steps, a line each, without the line breaks within a step."""
    runbook = runbook[:_MAX_CHARACTERS]
    parts = [part for block in _BLANK.split(runbook) for part in _STEP.split(block)]
    steps = [step for step in (plain(part, MAX_RUNBOOK_CHARACTERS) for part in parts) if step]
    told = ""
    for step in steps:
        longer = f"{told}\n{step}" if told else step
        if len(longer) > MAX_RUNBOOK_CHARACTERS - 1:
            return f"{told}\n…" if told else cut(step, MAX_RUNBOOK_CHARACTERS)
        told = longer
    return told
