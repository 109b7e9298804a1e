import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import PatternError
from detector.rules.filter_pattern import (
    MAX_NESTING,
    MAX_PATTERN_CHARACTERS,
    parse_filter_pattern,
    parse_selector,
)
from detector.rules.syntax import And, Compare, Equality, Node, Number, Or, Selector, Text
from tests.strategies import trees


def compare(path: str, literal: Text | Number, operator: str = "=") -> Compare:
    return Compare(Selector(tuple(path.split("."))), Equality(operator), literal)


A = compare("a", Text("x"))
B = compare("b", Text("y"))
C = compare("c", Text("z"))


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("{ $.a = x }", A),
        ("{$.a=x}", A),
        ('{ $.a = "x" }', A),
        ("{ ($.a = x) }", A),
        ("{ $.a != x }", compare("a", Text("x"), "!=")),
        ("{ $.a.b-c.d_e = x }", compare("a.b-c.d_e", Text("x"))),
        ("{ $.a = x || $.b = y }", Or((A, B))),
        ("{ $.a = x && $.b = y }", And((A, B))),
        ("{ $.a = x || $.b = y && $.c = z }", Or((A, And((B, C))))),
        ("{ ($.a = x || $.b = y) && $.c = z }", And((Or((A, B)), C))),
        ("{($.a=x)||($.b=y)||($.c=z)}", Or((A, B, C))),
        ('{ $.a = "with \\"quotes\\" and \\\\" }', compare("a", Text('with "quotes" and \\'))),
        ('{ $.a = "a && (b) = %" }', compare("a", Text("a && (b) = %"))),
        ('{ $.a = "" }', compare("a", Text(""))),
        ("{ $.a = 403 }", compare("a", Number(403.0, "403"))),
        ("{ $.a = -1.5e3 }", compare("a", Number(-1500.0, "-1.5e3"))),
        ('{ $.a = "403" }', compare("a", Text("403"))),
        ("{ $.a = 10.0.0.* }", compare("a", Text("10.0.0.*"))),
        ("{ $.a = arn:aws:iam::1:user/x }", compare("a", Text("arn:aws:iam::1:user/x"))),
        ("{\n $.a\t=\n x\n}", A),
    ],
)
def test_a_pattern_becomes_its_tree(pattern: str, tree: Node) -> None:
    assert parse_filter_pattern(pattern) == tree


@pytest.mark.parametrize(
    ("pattern", "column", "says"),
    [
        ("", 1, "begins with {"),
        ("$.a = x", 1, "begins with {"),
        ("{ }", 3, "expected a selector"),
        ("{ $.a = x", 10, "the closing }"),
        ("{ $.a = x } y", 13, "nothing after the closing }"),
        ("{ $.a x }", 7, "expected = or !="),
        ("{ $.a = }", 9, "expected a value"),
        ("{ $.a = x $.b = y }", 11, "expected &&, ||"),
        ("{ ($.a = x }", 12, "the closing )"),
        ("{ a = x }", 3, "begins with $."),
        ("{ $. = x }", 5, "expected a field's name"),
        ("{ $.a. = x }", 7, "expected a field's name"),
        ("{ $.a[0] = x }", 6, "'[' is not part of a field's name"),
        ("{ $.a:b = x }", 6, "':' is not part of a field's name"),
        ('{ $.a = "x }', 9, "never closed"),
        ("{ $.a = %x }", 9, "never closed"),
        ("{ $.a = %x% }", 9, "expected a value"),
        ("{ $.a > 1 }", 7, "expected = or !="),
        ("{ $.a >= 1 }", 7, "expected = or !="),
        ("{ $.a IS NULL }", 7, "expected = or !="),
        ("{ $.a NOT EXISTS }", 7, "expected = or !="),
        ("{ $.a = x || }", 14, "expected a selector"),
        ("{ $.a = x & $.b = y }", 11, "expected &&, ||"),
    ],
)
def test_a_malformed_pattern_is_refused_with_the_column_and_what_was_expected(
    pattern: str, column: int, says: str
) -> None:
    with pytest.raises(PatternError) as caught:
        parse_filter_pattern(pattern)
    assert str(caught.value).startswith(f"column {column}: ")
    assert says in str(caught.value)


def test_a_pattern_longer_than_cloudwatch_takes_is_refused() -> None:
    pattern = "{ $.a = " + "x" * MAX_PATTERN_CHARACTERS + " }"
    with pytest.raises(PatternError, match="1034 characters"):
        parse_filter_pattern(pattern)


def test_parentheses_are_refused_before_they_exhaust_the_stack() -> None:
    depth = MAX_NESTING
    assert parse_filter_pattern("{" + "(" * depth + "$.a=x" + ")" * depth + "}") == A
    depth += 1
    with pytest.raises(PatternError, match="parentheses are open"):
        parse_filter_pattern("{" + "(" * depth + "$.a=x" + ")" * depth + "}")


def test_a_group_by_field_is_written_with_or_without_the_dollar() -> None:
    assert parse_selector("$.userIdentity.arn") == parse_selector("userIdentity.arn")


@pytest.mark.parametrize("text", ["", "$", "$.", "a..b", "a b", ".a", "a[0]"])
def test_a_group_by_field_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_selector(text)
    assert 0 <= caught.value.offset <= len(text)


@given(trees)
def test_a_tree_written_as_a_pattern_is_read_back(tree: Node) -> None:
    pattern = "{" + written(tree) + "}"
    if len(pattern) <= MAX_PATTERN_CHARACTERS:
        assert parse_filter_pattern(pattern) == tree


@given(st.text(alphabet='{}()$.ab=!&|"%\\ *1', max_size=30))
def test_any_text_is_a_pattern_or_refused_with_a_place_inside_it(text: str) -> None:
    try:
        parse_filter_pattern(text)
    except PatternError as error:
        assert 0 <= error.offset <= len(text)


def written(node: Node) -> str:
    """Write a tree so that only parentheses say what belongs together."""
    if isinstance(node, Compare):
        literal = node.literal
        value = literal.spelling if isinstance(literal, Number) else f'"{literal.value}"'
        return f"{node.selector} {node.operator.value} {value}"
    sign = " && " if isinstance(node, And) else " || "
    return sign.join(f"({written(operand)})" for operand in node.operands)
