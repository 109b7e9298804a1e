"""How missing data is treated: the tables of CloudWatch's guide, cell by cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from detector.rules.window import TreatMissingData
from detector.windows.alarm import AlarmState, evaluate

pytestmark = pytest.mark.conformance

POINTS = {"X": True, "0": False, "-": None}
STATES: tuple[AlarmState, ...] = get_args(AlarmState)
TREATMENTS: tuple[TreatMissingData, ...] = get_args(TreatMissingData)


@pytest.fixture(scope="module")
def vectors(reference: Path) -> list[dict[str, Any]]:
    text = (reference / "spec" / "alarm-vectors.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)["vectors"]
    return found


def test_every_cell_of_the_tables_holds_from_every_previous_state(
    vectors: list[dict[str, Any]],
) -> None:
    cells = 0
    for vector in vectors:
        points = [POINTS[letter] for letter in vector["points"].split()]
        for treatment in TREATMENTS:
            expected = vector["expected"][treatment]
            for previous in STATES:
                found = evaluate(
                    points,
                    previous,
                    evaluation_periods=vector["evaluation_periods"],
                    datapoints_to_alarm=vector["datapoints_to_alarm"],
                    treat_missing_data=treatment,
                )
                wanted = previous if expected == "RETAIN" else expected
                assert found == wanted, (vector["source"], treatment, previous)
            cells += 1
    assert cells == 56
    assert sum("doc table" in vector["source"] for vector in vectors) == 10
