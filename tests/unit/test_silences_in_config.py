"""What a configuration may say of silences, and what is said of mistakes in it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detector.alerts.silence import Silence
from detector.config import load_config
from detector.errors import ConfigError

HEAD = "sources: [{type: directory, path: logs}]\nsilences:\n"
REST = "author: alice, reason: work"
TIMES = "start: 2026-12-31T22:00:00Z, end: 2027-01-01T02:00:00Z"
GOOD = f"{TIMES}, {REST}"


def silences(folder: Path, *texts: str) -> tuple[Silence, ...]:
    path = folder / "detector.yaml"
    path.write_text(HEAD + "".join(f"  - {{{text}}}\n" for text in texts))
    return load_config(path).silences


def test_there_are_no_silences_by_default(tmp_path: Path) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text("sources: [{type: directory, path: logs}]")
    assert load_config(path).silences == ()


@pytest.mark.parametrize(
    "start",
    [
        "2026-12-31T22:00:00Z",
        '"2026-12-31T22:00:00Z"',
        "'2027-01-01T00:00:00+02:00'",
        "2027-01-01 00:00:00.000+02:00",
    ],
)
def test_a_time_may_be_quoted_or_not_and_have_any_offset(tmp_path: Path, start: str) -> None:
    (one,) = silences(
        tmp_path, f"start: {start}, end: 2027-01-01T02:00:00Z, rules: any, author: a, reason: b"
    )
    assert one.start == datetime(2026, 12, 31, 22, tzinfo=UTC)


def test_all_keys_can_be_given(tmp_path: Path) -> None:
    (one,) = silences(
        tmp_path,
        f"{GOOD}, every_days: 7, rules: [a, b*], levels: [low], accounts: [111122223333,"
        " '012345678901', 012345678901], group: {who: [alice, 1, true, null]}",
    )
    assert (one.rules, one.levels, one.every_days) == (("a", "b*"), ("low",), 7)
    assert one.accounts == (111122223333, "012345678901", "012345678901")
    assert one.group == {"who": ("alice", 1, True, None)}


@pytest.mark.parametrize("matcher", ["rules: any", "levels: [low]", "group: {who: [a]}"])
def test_one_matcher_is_enough(tmp_path: Path, matcher: str) -> None:
    assert len(silences(tmp_path, f"{matcher}, {GOOD}", f"{GOOD}, {matcher}")) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD, "3:5: silences[0]: the silence is for every alert: say so with rules: any, or give"),
        (f"rules: null, {GOOD}", "3:5: silences[0]: the silence is for every alert"),
        (f"rules: root, {GOOD}", "rules is a list of ids, names or titles, or the word any"),
        (f"rules: [1], {GOOD}", "3:14: silences[0].rules[0] must be a string, not a whole number"),
        (f"rules: [], {GOOD}", "3:5: silences[0]: rules is empty, and nothing could match it"),
        (f"accounts: [], {GOOD}", "accounts is empty, and nothing could match it"),
        (f"levels: [], {GOOD}", "levels is empty, and nothing could match it"),
        (f"group: {{}}, {GOOD}", "group is empty, and nothing could match it"),
        (f"group: {{who: []}}, {GOOD}", "group.who is empty, and nothing could match it"),
        (
            f"group: {{who: alice}}, {GOOD}",
            "3:19: silences[0].group.who must be a list, not a string",
        ),
        (f"group: {{who: [[a]]}}, {GOOD}", "3:20: silences[0].group.who[0] must be"),
        (
            f"levels: [low, hihg], {GOOD}",
            "3:20: silences[0].levels[1] has a value that is not known; did you mean high?",
        ),
        (f"accounts: [1111], {GOOD}", "accounts holds 1111, and an account id has 12 digits"),
        (f"accounts: ['11*'], {GOOD}", "accounts holds 11*, and an account id has 12 digits"),
        (
            f"rule: [a], {GOOD}",
            "3:6: unknown key silences[0].rule; did you mean rules? Known here: start, end",
        ),
        (f"rules: any, {TIMES}, reason: b", "3:5: silences[0].author is missing"),
        (f"rules: any, {TIMES}, author: a", "3:5: silences[0].reason is missing"),
        (f"rules: any, {TIMES}, author: a, reason: ' '", "silences[0]: reason is empty"),
        (f"rules: any, {TIMES}, author: '', reason: b", "silences[0]: author is empty"),
        (f"rules: any, end: 2027-01-01T02:00:00Z, {REST}", "silences[0].start is missing"),
        (f"rules: any, start: 2027-01-01T02:00:00Z, {REST}", "silences[0].end is missing"),
        (
            f"rules: any, start: 2026-12-31, end: 2027-01-01T02:00:00Z, {REST}",
            "3:25: silences[0].start must be a time and its offset from UTC; write it as 2026-12-3",
        ),
        (
            f"rules: any, start: 2026-12-31T22:00:00, end: 2027-01-01T02:00:00Z, {REST}",
            "3:25: silences[0].start must be a time and its offset from UTC",
        ),
        (
            f"rules: any, start: 17, end: 2027-01-01T02:00:00Z, {REST}",
            "3:25: silences[0].start must be a time and its offset from UTC",
        ),
        (
            f"rules: any, start: 2027-01-01T02:00:00Z, end: 2027-01-01T04:00:00+02:00, {REST}",
            "3:5: silences[0]: end must be later than start",
        ),
        (
            f"rules: any, start: 2027-01-01T00:00:00Z, end: 2027-01-08T00:00:00Z, {REST},"
            " every_days: 7",
            "3:5: silences[0]: every_days must be longer than from start to end",
        ),
        (f"rules: any, {GOOD}, every_days: 0", "every_days must be longer than from start"),
        (f"rules: any, {GOOD}, every_days: -7", "every_days must be longer than from start"),
        (
            f"rules: any, {GOOD}, every_days: 1.5",
            "silences[0].every_days must be a whole number or nothing, not a number",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        silences(tmp_path, text)
    assert says in str(raised.value)


def test_the_silence_with_the_mistake_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detector.yaml:4:5: silences\[1\]: the silence is for"):
        silences(tmp_path, f"rules: any, {GOOD}", GOOD)
