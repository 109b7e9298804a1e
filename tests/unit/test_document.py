from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.document import MAX_DEPTH, MAX_DOCUMENT_BYTES, parse, parse_all, read
from detector.errors import ConfigError, Place


def data(text: str) -> object:
    return parse(text, "x.yml", ConfigError).data


def test_plain_scalars_are_read_by_the_core_schema() -> None:
    text = "[1, -2, 1.5, 1e3, true, False, null, ~, yes, no, 0123, 2026-11-23, 1_000, 12:30:45]"
    assert data(text) == [
        *(1, -2, 1.5, 1000.0, True, False, None, None),
        *("yes", "no", "0123", "2026-11-23", "1_000", "12:30:45"),
    ]


def test_an_account_id_with_a_leading_zero_stays_a_string() -> None:
    assert data("account: 012345678901") == {"account": "012345678901"}


def test_quoted_scalars_are_always_strings() -> None:
    assert data("""['1', "true", 'null', "", '2026-11-23']""") == [
        *("1", "true", "null", "", "2026-11-23")
    ]


def test_aliases_are_expanded() -> None:
    assert data("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "x.yml:3:1: the key 'a' stands in line 1 already"),
        ("a:\n\tb: 1", "x.yml:2:1: a tab cannot indent YAML; use spaces"),
        ("a: [1, 2", "x.yml:1:4: the file is not YAML"),
        ("a: !!python/object:os.system x", "x.yml:1:4: the tag tag:yaml.org,2002:python"),
        ("a: !!binary aGk=", "x.yml:1:4: the tag tag:yaml.org,2002:binary is not supported"),
        ("? [a, b]\n: 1", "x.yml:1:3: a key must be a plain string"),
        ("<<: {a: 1}", "x.yml:1:1: merge keys (<<) are not supported"),
        ("a: &x [*x]", "x.yml:1:4: the document is nested more than"),
        ("a: *nobody", "x.yml:1:4: the file is not YAML: found undefined alias"),
        ("--- 1\n--- 2", "x.yml:2:5: a second document begins here, and only one is expected"),
        ("", "x.yml: the file is empty"),
        ("a: \x00", "x.yml: the file is not YAML"),
    ],
)
def test_what_yaml_could_surprise_with_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        data(text)
    assert str(caught.value).startswith(message)


def test_anchors_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="expands to more than"):
        data("\n".join(lines))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested more than"):
        data("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))


def test_a_nesting_that_would_exhaust_the_parser_is_an_error_too() -> None:
    with pytest.raises(ConfigError):
        data("[" * 100_000)


def test_a_place_is_found_by_its_path_of_keys() -> None:
    document = parse("a:\n  - b: 1\n  - b: two\n", "x.yml", ConfigError)
    assert document.place(["a", 1, "b"]) == Place("x.yml", 3, 8)
    assert document.key_place(["a", 1, "b"]) == Place("x.yml", 3, 5)
    assert document.place(["a", 1, "missing"]) == Place("x.yml", 3, 5)
    assert document.place([]) == Place("x.yml", 1, 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("p: abcdef", Place("x.yml", 1, 7)),
        ("p: 'abcdef'", Place("x.yml", 1, 8)),
        ("p: |\n  abcdef", Place("x.yml", 1, 4)),
        ('p: "\\u0061bcdef"', Place("x.yml", 1, 4)),
    ],
)
def test_a_character_of_a_scalar_is_found_where_that_can_be_told(text: str, place: Place) -> None:
    assert parse(text, "x.yml", ConfigError).scalar_place(["p"], 3) == place


def test_each_of_several_documents_knows_its_own_places() -> None:
    text = "---\na: 1\n---\n# nothing\n---\nb:\n  c: two\n...\n---\n[d]\n"
    first, empty, second, third = parse_all(text, "x.yml", ConfigError)
    assert (first.data, empty.data, second.data, third.data) == (
        {"a": 1},
        None,
        {"b": {"c": "two"}},
        ["d"],
    )
    assert first.place(["a"]) == Place("x.yml", 2, 4)
    assert second.key_place(["b", "c"]) == Place("x.yml", 7, 3)
    assert second.scalar_place(["b", "c"], 1) == Place("x.yml", 7, 7)
    assert third.place([0]) == Place("x.yml", 10, 2)


def test_an_anchor_is_known_in_its_own_document_only() -> None:
    with pytest.raises(ConfigError, match="found undefined alias"):
        parse_all("a: &x 1\n---\nb: *x\n", "x.yml", ConfigError)


def test_a_file_that_is_missing_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yml: the file cannot be read: No such file"):
        read(tmp_path / "no.yml", ConfigError)


def test_a_file_that_is_not_text_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"x\.yml:2: the file is not UTF-8 text"):
        read(path, ConfigError)


def test_a_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read(path, ConfigError).data == {"a": 1}


def test_a_file_too_large_to_be_written_by_a_person_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"#" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read(path, ConfigError)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#,? \n\t0", max_size=40))
def test_any_text_is_data_or_an_error_with_a_place(text: str) -> None:
    try:
        data(text)
    except ConfigError as error:
        assert error.place is not None
        assert error.place.path == "x.yml"
