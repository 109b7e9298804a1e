"""The grammar of CloudWatch Logs filter patterns, in its three languages."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.errors import PatternError
from detector.rules.filter_pattern import (
    MAX_PATTERN_CHARACTERS,
    parse_filter_pattern,
    parse_selector,
    repaired,
)
from detector.rules.filter_pattern.expression import MAX_NESTING
from detector.rules.filter_pattern.json_pattern import MAX_WILDCARD_SELECTORS, mixed_operators
from detector.rules.filter_pattern.scanner import MAX_REGEXES
from detector.rules.regex import searcher
from detector.rules.syntax import (
    ALWAYS,
    And,
    Columns,
    Condition,
    Equal,
    Glob,
    InText,
    IsBoolean,
    IsNull,
    Literal_,
    Node,
    Not,
    NotEqual,
    NotExists,
    Number,
    Or,
    Order,
    Ordered,
    Regex,
    Selector,
    Step,
    Test,
    Wild,
    Wildcard,
    leaves,
    star_glob,
)
from tests.strategies import examples, pattern_trees


def selector(*steps: Step) -> Selector:
    return Selector(steps)


def equal(name: str, literal: Literal_ | str) -> Condition:
    return Condition(
        Selector(tuple(name.split("."))),
        Equal(star_glob(literal) if isinstance(literal, str) else literal),
    )


def only_test(pattern: str) -> Test:
    tree = parse_filter_pattern(pattern)
    assert isinstance(tree, Condition)
    return tree.test


A, B, C, D = equal("a", "x"), equal("b", "y"), equal("c", "z"), equal("d", "w")
ELEMENTS, FIELDS = Wildcard.ELEMENTS, Wildcard.FIELDS


# Conditions on JSON.


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$.a", ("a",)),
        ("$.a.b-c.d_e.9", ("a", "b-c", "d_e", "9")),
        ("$.a[0]", ("a", 0)),
        ("$.a[0][12].b", ("a", 0, 12, "b")),
        ("$.a[ 3 ]", ("a", 3)),
        ("$[0].a", (0, "a")),
        ("$.a[*]", ("a", ELEMENTS)),
        ("$.a[*].b", ("a", ELEMENTS, "b")),
        ("$.*", (FIELDS,)),
        ("$.a.*.b", ("a", FIELDS, "b")),
        ("$.['a.b']", ("a.b",)),
        ("$['a.b']", ("a.b",)),
        ('$["a.b"]', ("a.b",)),
        ('$.["a.b"]', ("a.b",)),
        ("$.a['b c'].d", ("a", "b c", "d")),
        ("$.a.[ 'b' ][0]", ("a", "b", 0)),
        ("$.['it\"s']", ('it"s',)),
        ('$["it\'s"]', ("it's",)),
        ("$.['a]b']", ("a]b",)),
        ("$.['']", ("",)),
        ("$.['é*']", ("é*",)),
        ("$.['0']", ("0",)),
        ("$.eventName-1", ("eventName-1",)),
    ],
)
def test_a_selector_is_read_step_by_step(text: str, steps: tuple[Step, ...]) -> None:
    tree = parse_filter_pattern(f"{{ {text} = x }}")
    assert tree == Condition(Selector(steps), Equal(Glob(("x",))))
    assert parse_filter_pattern(f"{{{text}=x}}") == tree


@pytest.mark.parametrize(
    "steps",
    [
        ("a",),
        ("a", "b-c", "d_e"),
        ("a.b", "", "é"),
        ("a", 0, 12),
        ("a", ELEMENTS, "b"),
        (FIELDS, "0"),
    ],
)
def test_a_selector_as_it_is_shown_is_read_back(steps: tuple[Step, ...]) -> None:
    shown = str(Selector(steps))
    assert parse_filter_pattern(f"{{ {shown} IS NULL }}") == Condition(Selector(steps), IsNull())


def test_a_name_with_an_apostrophe_is_shown_so_that_it_can_be_read_back() -> None:
    condition = Condition(selector("it's"), IsNull())
    assert parse_filter_pattern(f"{{ {condition.selector} IS NULL }}") == condition


@pytest.mark.parametrize(
    ("value", "glob"),
    [
        ("x", ("x",)),
        ('"x"', ("x",)),
        ('""', ()),
        ('" "', (" ",)),
        ("*", (Wild.RUN,)),
        ('"*"', (Wild.RUN,)),
        ("**", (Wild.RUN,)),
        ("x*", ("x", Wild.RUN)),
        ('"*x"', (Wild.RUN, "x")),
        ("a*b**c", ("a", Wild.RUN, "b", Wild.RUN, "c")),
        ("a?b", ("a?b",)),
        ("10.0.0.*", ("10.0.0.", Wild.RUN)),
        ("arn:aws:iam::1:user/x", ("arn:aws:iam::1:user/x",)),
        ("kms.amazonaws.com", ("kms.amazonaws.com",)),
        ("a=b", ("a=b",)),
        ("a|b&c", ("a|b&c",)),
        ("a[0]$.b", ("a[0]$.b",)),
        ("a'b'", ("a'b'",)),
        ("é", ("é",)),
        ("IS", ("IS",)),
        ('"with \\"quotes\\" and \\\\"', ('with "quotes" and \\',)),
        ('"a && (b) || {c} = %d%"', ("a && (b) || {c} = %d%",)),
        ('"403"', ("403",)),
        ('"two\nlines"', ("two\nlines",)),
        ("1.2.3", ("1.2.3",)),
        ("1e", ("1e",)),
        ("0x10", ("0x10",)),
        ("+", ("+",)),
        ("-", ("-",)),
        ("1_000", ("1_000",)),
        ("\u0661", ("\u0661",)),
        ("NaN", ("NaN",)),
    ],
)
def test_a_value_is_text_with_stars(value: str, glob: tuple[str | Wild, ...]) -> None:
    assert only_test(f"{{ $.a = {value} }}") == Equal(Glob(glob))
    assert only_test(f"{{ $.a != {value} }}") == NotEqual(Glob(glob))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("403", 403),
        ("0", 0),
        ("007", 7),
        ("-1", -1),
        ("+1000", 1000),
        ("55.5", 55.5),
        ("5.", 5.0),
        (".5", 0.5),
        ("-1.5e3", -1500.0),
        ("1e+3", 1000.0),
        ("10E-3", 0.01),
        ("123456789012", 123456789012),
        ("9007199254740993", 2**53 + 1),
        ("1" + "0" * 300, 10**300),
    ],
)
def test_a_bare_number_keeps_its_value_and_its_spelling(word: str, value: float) -> None:
    assert only_test(f"{{ $.a = {word} }}") == Equal(Number(value, word))
    assert only_test(f"{{ $.a >= {word} }}") == Ordered(Order.GREATER_OR_EQUAL, value)
    assert isinstance(only_test(f'{{ $.a = "{word}" }}'), Equal)


@pytest.mark.parametrize(
    ("operator", "order"),
    [
        ("<", Order.LESS),
        ("<=", Order.LESS_OR_EQUAL),
        (">", Order.GREATER),
        (">=", Order.GREATER_OR_EQUAL),
    ],
)
def test_an_order_is_of_numbers(operator: str, order: Order) -> None:
    assert only_test(f"{{ $.a {operator} 1.5 }}") == Ordered(order, 1.5, of_text=False)
    assert only_test(f"{{$.a{operator}-1}}") == Ordered(order, -1)


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("x", "x"),
        (r"^\d{1,2}\.x$", r"^\d{1,2}\.x$"),
        ("[a-z]+ b", "[a-z]+ b"),
        ("a|b", "a|b"),
        ("a{,3}", "a{0,3}"),
        ("a{2,}", "a{2,}"),
        (r"a\{,3", r"a\{,3"),
        ("[{,]", "[{,]"),
        (r"\x28\x7B", r"\x28\x7B"),
        (r"\w\W\s\S\D", r"\w\W\s\S\D"),
        (r"\(\)\!\"", r"\(\)\!\""),
        (":_#=@/;,-", ":_#=@/;,-"),
    ],
)
def test_a_regular_expression_stands_between_per_cent_signs(written: str, expression: str) -> None:
    assert only_test(f"{{ $.a = %{written}% }}") == Equal(Regex(expression))
    assert only_test(f"{{ $.a != %{written}%}}") == NotEqual(Regex(expression))


@pytest.mark.parametrize(
    ("written", "test"),
    [
        ("IS NULL", IsNull()),
        ("IS TRUE", IsBoolean(True)),
        ("IS FALSE", IsBoolean(False)),
        ("NOT EXISTS", NotExists()),
        ("IS\n\tNULL", IsNull()),
        ("NOT   EXISTS", NotExists()),
    ],
)
def test_a_state_is_said_in_capitals(written: str, test: Test) -> None:
    assert only_test(f"{{ $.a {written} }}") == test
    assert only_test(f"{{ $.a {written}}}") == test
    assert only_test(f"{{ ($.a[0] {written}) }}") == test


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("{ $.a = x }", A),
        ("{$.a=x}", A),
        (" \n{ $.a = x }\t ", A),
        ("{ ($.a = x) }", A),
        ("{((($.a = x)))}", A),
        ("{\n $.a\t=\n x\n}", A),
        ("{ $.a = x || $.b = y }", Or((A, B))),
        ("{ $.a = x && $.b = y }", And((A, B))),
        ("{ $.a = x&&$.b = y||$.c = z}", Or((And((A, B)), C))),
        ("{ $.a = x || $.b = y && $.c = z }", Or((A, And((B, C))))),
        ("{ $.a = x && $.b = y || $.c = z && $.d = w }", Or((And((A, B)), And((C, D))))),
        ("{ ($.a = x || $.b = y) && $.c = z }", And((Or((A, B)), C))),
        ("{ $.a = x && ($.b = y || $.c = z) && $.d = w }", And((A, Or((B, C)), D))),
        ("{($.a=x)||($.b=y)||($.c=z)}", Or((A, B, C))),
        ("{ ($.a = x || $.b = y) || $.c = z }", Or((Or((A, B)), C))),
        (
            "{ $.a NOT EXISTS||$.a IS NULL }",
            Or((Condition(selector("a"), NotExists()), Condition(selector("a"), IsNull()))),
        ),
        ("{ $.a =%x%&& $.b = y }", And((Condition(selector("a"), Equal(Regex("x"))), B))),
        ('{ $.a ="x"&& $.b = y }', And((A, B))),
        ("{ $.a = 400}", equal("a", Number(400, "400"))),
        ("{$.a=x&&($.b=y)}", And((A, B))),
    ],
)
def test_and_binds_tighter_than_or_and_parentheses_tighter_still(pattern: str, tree: Node) -> None:
    assert parse_filter_pattern(pattern) == tree


@examples(300)
@given(pattern_trees)
def test_a_tree_written_as_a_pattern_is_read_back(tree: Node) -> None:
    pattern = written_pattern(tree)
    assert parse_filter_pattern(pattern) == tree
    roomy = written_pattern(tree, space=" \n")
    if len(roomy) <= MAX_PATTERN_CHARACTERS:
        assert parse_filter_pattern(roomy) == tree
    if any(isinstance(leaf, Condition) for leaf in leaves(tree)):
        assert repaired(pattern) is None


def written_pattern(tree: Node, space: str = "") -> str:
    """Write a tree so that only parentheses say what belongs together."""
    found = [leaf for leaf in leaves(tree) if isinstance(leaf, Condition)]
    literals = [leaf.test.literal for leaf in found if isinstance(leaf.test, Equal | NotEqual)]
    assume(sum(leaf.selector.wildcards for leaf in found) <= MAX_WILDCARD_SELECTORS)
    assume(sum(isinstance(literal, Regex) for literal in literals) <= MAX_REGEXES)
    pattern = f"{{{space}{_written(tree, space)}{space}}}"
    assume(space or len(pattern) <= MAX_PATTERN_CHARACTERS)
    return pattern


def _written(node: Node, space: str) -> str:
    if isinstance(node, Condition):
        return (
            _written_steps(node.selector.steps) + (space or " ") + _written_test(node.test, space)
        )
    assert isinstance(node, And | Or)
    sign = "&&" if isinstance(node, And) else "||"
    parts = [f"({space}{_written(operand, space)}{space})" for operand in node.operands]
    return f"{space}{sign}{space}".join(parts)


def _written_steps(steps: tuple[Step, ...]) -> str:
    text = "$"
    for step in steps:
        if isinstance(step, Wildcard):
            text += step.value
        elif isinstance(step, int):
            text += f"[{step}]"
        elif step.isascii() and step.replace("_", "a").replace("-", "a").isalnum():
            text += f".{step}"
        else:
            text += f".['{step}']"
    return text


def _written_test(test: Test, space: str) -> str:
    if isinstance(test, Equal | NotEqual):
        sign = "=" if isinstance(test, Equal) else "!="
        return f"{sign}{space}{_written_literal(test.literal)}"
    if isinstance(test, Ordered):
        return f"{test.order.value}{space}{test.number}"
    if isinstance(test, IsBoolean):
        return f"IS{space or ' '}{str(test.value).upper()}"
    return {IsNull: f"IS{space or ' '}NULL", NotExists: f"NOT{space or ' '}EXISTS"}[type(test)]


def _written_literal(literal: Literal_) -> str:
    if isinstance(literal, Number):
        return literal.spelling
    if isinstance(literal, Regex):
        return f"%{literal.expression}%"
    return '"' + literal.text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# What is refused, where, and with what advice.


@pytest.mark.parametrize(
    ("pattern", "offset", "says"),
    [
        ("{", 1, "expected a selector"),
        ("{ }", 2, "expected a selector such as $.eventName, or (, found '}'"),
        ("{ x }", 2, "found 'x'"),
        ("{ a = x }", 2, "expected a selector"),
        ("{ ($.a = x) && () }", 16, "expected a selector"),
        ("{ || $.a = x }", 2, "expected a selector"),
        ("{ $.a = x || }", 13, "expected a selector"),
        ("{ $.a = x && && $.b = y }", 13, "expected a selector"),
        ("{ ! $.a = x }", 2, "expected a selector"),
        ("{ NOT $.a = x }", 2, "expected a selector"),
        ("{ $ = x }", 3, "a selector begins with $."),
        ("{ $a = x }", 3, "a selector begins with $.; write $.a"),
        ("{ $. = x }", 4, "expected a field's name of letters, digits, _ and -"),
        ("{ $.a. = x }", 6, "expected a field's name"),
        ("{ $..a = x }", 4, "expected a field's name"),
        ("{ $.é = x }", 4, "write a name of other characters as .['the name']"),
        ("{ $.a:b = x }", 5, "expected an operator"),
        ("{ $.a[] = x }", 6, "expected an index, * or a quoted name in brackets"),
        ("{ $.a[b] = x }", 6, "write [0], [*] or .['the name']"),
        ("{ $.a[-1] = x }", 6, "expected an index"),
        ("{ $.a[1.5] = x }", 6, "expected an index"),
        ("{ $.a[1 = x }", 6, "expected an index"),
        ("{ $.a['b] = x }", 6, "expected an index"),
        ("{ $.a[\u0661] = x }", 6, "expected an index"),
        ("{ $.a[1234567890] = x }", 6, "the index is too large"),
        ("{ $.a.[0] = x", 13, "the closing }"),
        ("{ $.a* = x }", 5, "expected an operator"),
        ("{ $.a[*][*] = x }", 2, "more than one wildcard"),
        ("{ $.a.*.* = x }", 2, "more than one wildcard"),
        ("{ $.a[*].* = x }", 2, "more than one wildcard"),
        (
            "{ $.a }",
            6,
            "expected an operator (= != < <= > >=), IS or NOT EXISTS after the selector",
        ),
        ("{ $.a x }", 6, "expected an operator"),
        ("{ $.a is NULL }", 6, "keywords are written in capitals"),
        ("{ $.a not exists }", 6, "keywords are written in capitals"),
        ("{ $.a EXISTS }", 6, 'EXISTS is not part of the language; write = "*"'),
        ("{ $.a == x }", 6, "== is not an operator; write ="),
        ("{ $.a =! x }", 7, "expected a value"),
        ("{ $.a => 1 }", 7, "expected a value"),
        ("{ $.a <> x }", 7, "expected a number"),
        ("{ $.a ~ x }", 6, "expected an operator"),
        ("{ $.a IS }", 9, "expected NULL, TRUE or FALSE after IS"),
        ("{ $.a IS null }", 9, "expected NULL, TRUE or FALSE"),
        ("{ $.a IS NULLX }", 9, "expected NULL, TRUE or FALSE"),
        ("{ $.a IS NOT NULL }", 9, 'IS NOT is not part of the language; write = "*"'),
        ("{ $.a NOT }", 10, "expected EXISTS after NOT"),
        ("{ $.a NOT NULL }", 10, "expected EXISTS after NOT"),
        ("{ $.a NOT EXISTSX }", 10, "expected EXISTS after NOT"),
        ("{ $.a = }", 8, "expected a value: a word, a number, a quoted string or %regex%"),
        ("{ $.a = || $.b = y }", 8, "expected a value"),
        ("{ $.a = = x }", 8, "expected a value"),
        ("{ $.a = (x) }", 8, "expected a value"),
        ("{ $.a > x }", 8, "expected a number: only = and != compare text"),
        ('{ $.a > "1" }', 8, "expected a number"),
        ("{ $.a < 1* }", 8, "expected a number"),
        ("{ $.a < %1% }", 8, "expected a number"),
        ("{ $.a < }", 8, "expected a number"),
        ('{ $.a = "x }', 8, 'the " opened here is never closed'),
        ('{ $.a = "x\\" }', 8, 'the " opened here is never closed'),
        ('{ $.a = x" }', 9, 'a " in the middle of a word; write "x"'),
        ('{ $.a = x"y" }', 9, 'a " in the middle of a word'),
        ('{ $.a = "x"y }', 11, "expected &&, ||"),
        ("{ $.a = x", 9, "expected &&, || or the closing }, found the pattern's end"),
        ("{ $.a = x } y", 12, "expected nothing after the closing }"),
        ("{ $.a = x }}", 11, "expected nothing after the closing }"),
        ("{ $.a = x } { $.b = y }", 12, "expected nothing after the closing }"),
        ("{ $.a = x $.b = y }", 10, "expected &&, ||"),
        ("{ $.a = x y }", 10, 'a value with a space needs quotes: write "x y"'),
        ("{ $.eventName = Put Policy }", 20, "if a line break split a name, write PutPolicy"),
        ("{ $.event Name = x }", 10, "if a line break split a name, write $.eventName"),
        ("{ $.a = x & $.b = y }", 10, "expected &&, ||"),
        ("{ $.a = x | $.b = y }", 10, "expected &&, ||"),
        ("{ $.a = x AND $.b = y }", 10, "expected &&, ||"),
        ("{ ($.a = x }", 11, "expected &&, || or the closing )"),
        ("{ ($.a = x", 10, "expected &&, || or the closing ), found the pattern's end"),
        ("{ $.a = x) }", 9, "expected &&, || or the closing }"),
        ("{ $.aNOT EXISTS }", 9, "write $.a NOT EXISTS"),
        ("{ $.aIS NULL }", 8, "write $.a IS NULL"),
        ("{ $.a = %x }", 8, "the % opened here is never closed"),
        ("{ $.a = %% }", 9, "the regular expression is empty"),
        ("{ $.a = %x!% }", 10, "'!' is not allowed in a regular expression; write \\x21"),
        ("{ $.a = %(x)% }", 9, "'(' is not allowed in a regular expression; CloudWatch's"),
        ("{ $.a = %xé% }", 10, "'é' is not allowed in a regular expression"),
        (r"{ $.a = %x\q% }", 10, "'\\\\' is not allowed in a regular expression"),
        ("{ $.a = %[x% }", 9, "not a regular expression"),
        ("{ $.a = %*x% }", 9, "not a regular expression"),
        ("{ $.a = %x{1001}% }", 9, "not a regular expression"),
    ],
)
def test_a_malformed_pattern_is_refused_where_it_goes_wrong_with_what_was_expected(
    pattern: str, offset: int, says: str
) -> None:
    with pytest.raises(PatternError) as caught:
        parse_filter_pattern(pattern)
    assert (caught.value.offset, str(caught.value).partition(":")[0]) == (
        offset,
        f"column {offset + 1}",
    )
    assert says in str(caught.value)


@pytest.mark.parametrize("character", ["!", "'", "~", "é", "\u0101"])
def test_advice_on_a_character_of_an_expression_can_be_followed(character: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_filter_pattern(f"{{ $.a = %{character}% }}")
    advice = (caught.value.remedy or "").removeprefix("write ")
    if advice.startswith("\\x"):
        meant = only_test(f"{{ $.a = %^{advice}$% }}")
        assert isinstance(meant, Equal)
        assert isinstance(meant.literal, Regex)
        assert searcher(meant.literal)(character)


def test_a_pattern_longer_than_cloudwatch_takes_is_refused() -> None:
    longest = '{ $.a = "' + "x" * (MAX_PATTERN_CHARACTERS - 11) + '"}'
    assert len(longest) == MAX_PATTERN_CHARACTERS == 1024
    assert parse_filter_pattern(longest)
    with pytest.raises(PatternError, match="the pattern has 1025 characters") as caught:
        parse_filter_pattern(longest + " ")
    assert caught.value.offset == MAX_PATTERN_CHARACTERS
    assert "split it over several rules" in str(caught.value)


def test_parentheses_are_refused_before_they_exhaust_the_stack() -> None:
    assert MAX_NESTING == 64
    assert parse_filter_pattern("{" + "(" * 64 + "$.a=x" + ")" * 64 + "}") == A
    with pytest.raises(PatternError, match="more than 64 parentheses are open") as caught:
        parse_filter_pattern("{" + "(" * 65 + "$.a=x" + ")" * 65 + "}")
    assert caught.value.offset == 66
    side_by_side = "||".join(["($.a=x)"] * 100)
    assert len(list(leaves(parse_filter_pattern(f"{{{side_by_side}}}")))) == 100


def test_three_selectors_with_a_wildcard_are_taken_and_a_fourth_is_refused() -> None:
    three = "$.a[*]=1 || $.*=1 || $.c.*.d=1"
    assert parse_filter_pattern(f"{{ {three} || $.d=1 }}")
    with pytest.raises(PatternError, match="more than 3 wildcard selectors") as caught:
        parse_filter_pattern(f"{{ {three} || $.d[*]=1 }}")
    assert caught.value.offset == len(f"{{ {three} || ")


@pytest.mark.parametrize(
    "pattern",
    ["{{ $.a=%x% || $.b!=%x% {more} }}", "[a=%x%, b=%x%, c{more}]", "%x% -%x% {more}"],
)
def test_two_regular_expressions_are_taken_and_a_third_is_refused(pattern: str) -> None:
    third = {"{": "|| $.c = %x%", "[": "=%x%", "%": "%x%"}[pattern[0]]
    assert parse_filter_pattern(pattern.format(more=""))
    with pytest.raises(PatternError, match="more than 2 regular expressions") as caught:
        parse_filter_pattern(pattern.format(more=third))
    assert caught.value.offset == pattern.format(more=third).rindex("%x%")


# Text to be found anywhere.

ERROR, WARN = InText(Glob(("ERROR",))), InText(Glob(("WARN",)))


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("", ALWAYS),
        ("  ", ALWAYS),
        ('" "', ALWAYS),
        ("ERROR", ERROR),
        (" ERROR\t", ERROR),
        ("ERROR WARN", And((ERROR, WARN))),
        ('"ERROR" "WARN"', And((ERROR, WARN))),
        ("ERROR -WARN", And((ERROR, Not(WARN)))),
        ("-WARN", Not(WARN)),
        ('-"WARN"', Not(WARN)),
        ("?ERROR", Or((ERROR,))),
        ("?ERROR ?WARN", Or((ERROR, WARN))),
        ('?"ERROR" ?WARN', Or((ERROR, WARN))),
        ("?ERROR WARN", WARN),
        ("?ERROR ?x -WARN", Not(WARN)),
        ('"a \\"b\\" \\\\"', InText(Glob(('a "b" \\',)))),
        ('"*"', InText(Glob(("*",)))),
        ('"{ $.a = x }"', InText(Glob(("{ $.a = x }",)))),
        ("%a.b%", InText(Regex("a.b"))),
        ("ERROR -%a.b%", And((ERROR, Not(InText(Regex("a.b")))))),
        ("Größe_1", InText(Glob(("Größe_1",)))),
    ],
)
def test_terms_are_found_in_the_text(pattern: str, tree: Node) -> None:
    assert parse_filter_pattern(pattern) == tree


@pytest.mark.parametrize(
    ("pattern", "offset", "says"),
    [
        ("ERROR.", 5, "'.' cannot stand in a term without quotes; put the term in double quotes"),
        ("a-b", 1, "'-' cannot stand in a term"),
        ("$.a = x", 0, "or a condition on JSON in braces { }"),
        ("x {", 2, "'{' cannot stand in a term"),
        ("*", 0, "'*' cannot stand in a term"),
        ("-", 1, "expected a term"),
        ("?", 1, "expected a term"),
        ("? ERROR", 1, "cannot stand in a term"),
        ("--ERROR", 1, "'-' cannot stand in a term"),
        ('"ERROR', 0, 'the " opened here is never closed'),
        ('x"y"', 1, "cannot stand in a term"),
        ("%x", 0, "the % opened here is never closed"),
        ("%something!%", 10, "'!' is not allowed in a regular expression"),
        ("x %[%", 3, "not a regular expression"),
    ],
)
def test_malformed_terms_are_refused_where_they_go_wrong(
    pattern: str, offset: int, says: str
) -> None:
    with pytest.raises(PatternError) as caught:
        parse_filter_pattern(pattern)
    assert caught.value.offset == offset
    assert says in str(caught.value)


# Columns.


def column(name: str, test: Test) -> Condition:
    return Condition(selector(name), test)


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("[a]", Columns(("a",), ALWAYS)),
        ("[ a , b_1, c-2 ]", Columns(("a", "b_1", "c-2"), ALWAYS)),
        ("[...]", Columns((None,), ALWAYS)),
        ("[..., a]", Columns((None, "a"), ALWAYS)),
        ("[a, ..., b]", Columns(("a", None, "b"), ALWAYS)),
        ("[]", Columns((), ALWAYS)),
        ("[ ,b, ]", Columns(("$1", "b", "$3"), ALWAYS)),
        ("[a=ERROR, b]", Columns(("a", "b"), column("a", Equal(Glob(("ERROR",)))))),
        ("[a = *.html*]", Columns(("a",), column("a", Equal(star_glob("*.html*"))))),
        ("[a != x]", Columns(("a",), column("a", NotEqual(Glob(("x",)))))),
        ('[a = "x, y]"]', Columns(("a",), column("a", Equal(Glob(("x, y]",)))))),
        ("[a = 404]", Columns(("a",), column("a", Equal(Number(404, "404"))))),
        (
            "[a >= 1.5]",
            Columns(("a",), column("a", Ordered(Order.GREATER_OR_EQUAL, 1.5, of_text=True))),
        ),
        ("[a = %^x$%]", Columns(("a",), column("a", Equal(Regex("^x$"))))),
        (
            "[a = 4* || a = 5*, b]",
            Columns(
                ("a", "b"),
                Or((column("a", Equal(star_glob("4*"))), column("a", Equal(star_glob("5*"))))),
            ),
        ),
        (
            "[a, (b = x || b = y) && b != z]",
            Columns(
                ("a", "b"),
                And(
                    (
                        Or((column("b", Equal(Glob(("x",)))), column("b", Equal(Glob(("y",)))))),
                        column("b", NotEqual(Glob(("z",)))),
                    )
                ),
            ),
        ),
        (
            "[a = x, b = y]",
            Columns(
                ("a", "b"),
                And((column("a", Equal(Glob(("x",)))), column("b", Equal(Glob(("y",)))))),
            ),
        ),
    ],
)
def test_columns_have_names_and_conditions(pattern: str, tree: Node) -> None:
    assert parse_filter_pattern(pattern) == tree
    assert parse_filter_pattern(f"  {pattern}\n") == tree


@pytest.mark.parametrize(
    ("pattern", "offset", "says"),
    [
        ("[", 1, "expected a column's name"),
        ("[a", 2, "expected a comma, an operator, or the closing ]"),
        ("[a,", 3, "expected a column's name"),
        ("[,", 2, "expected a column's name"),
        ("[a b]", 3, "expected a comma, an operator, or the closing ]"),
        ("[a] b", 4, "expected nothing after the closing ]"),
        ("[a, a]", 4, "two columns have the name a"),
        ("[..., a, ...]", 9, "... can stand only once"),
        ("[..]", 1, "expected a column's name"),
        ("[$.a = x]", 1, "expected a column's name"),
        ("[a =]", 4, "expected a value"),
        ("[a < x]", 5, "expected a number"),
        ("[a == x]", 3, "== is not an operator"),
        ("[a = x || b = y]", 1, "a column has several names: a, b"),
        ("[a = x y]", 7, "expected a comma"),
        ("[(a = x]", 7, "expected &&, || or the closing )"),
        ('[a = "x]', 5, "never closed"),
        ("[a = %x]", 5, "never closed"),
        ("[a && b]", 3, "expected a comma, an operator"),
    ],
)
def test_malformed_columns_are_refused_where_they_go_wrong(
    pattern: str, offset: int, says: str
) -> None:
    with pytest.raises(PatternError) as caught:
        parse_filter_pattern(pattern)
    assert caught.value.offset == offset
    assert says in str(caught.value)


# What it was probably meant to be.


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("{ $eventName = x }", "{ $.eventName = x }"),
        ("{ $.aNOT EXISTS && $.bIS NULL }", "{ $.a NOT EXISTS && $.b IS NULL }"),
        ("{ $.a == x }", "{ $.a = x }"),
        ("{ $.a = Failed authentication }", '{ $.a = "Failed authentication" }'),
        ('{ ($.a = x") && $.b = y }', '{ ($.a = "x") && $.b = y }'),
        ("{ $.event Name = x }", "{ $.eventName = x }"),
        ("{ $.eventName = Put\n  UserPolicy }", "{ $.eventName = PutUserPolicy }"),
        ("{ $eventName == Put\nUserPolicy }", "{ $.eventName = PutUserPolicy }"),
        ("{ $.eventSource = s3. amazonaws.com }", "{ $.eventSource = s3.amazonaws.com }"),
    ],
)
def test_a_fault_that_can_be_explained_is_repaired(pattern: str, meant: str) -> None:
    assert repaired(pattern) == meant
    assert parse_filter_pattern(meant)


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a = x }",
        "ERROR",
        "[a]",
        "",
        "{",
        "{ $.a = ",
        "{ $.a = %(% }",
        "{ a = x }",
        "{ $.a = x } }",
        "$eventName = x }",
    ],
)
def test_nothing_is_suggested_for_what_is_good_or_past_help(pattern: str) -> None:
    assert repaired(pattern) is None


@examples(300)
@given(pattern_trees, st.data())
def test_a_repaired_pattern_is_a_pattern(tree: Node, data: st.DataObject) -> None:
    pattern = written_pattern(tree)
    at = data.draw(st.integers(0, len(pattern)))
    broken = pattern[:at] + data.draw(st.sampled_from(['"', " ", "=", "", "x"])) + pattern[at + 1 :]
    meant = repaired(broken)
    if meant is not None:
        assert meant != broken
        assert parse_filter_pattern(meant)


# Selectors elsewhere, and joins that may surprise.


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("userIdentity.arn", ("userIdentity", "arn")),
        ("$.userIdentity.arn", ("userIdentity", "arn")),
        ("a[0].b", ("a", 0, "b")),
        ("$['a.b']", ("a.b",)),
        ("['a.b']", ("a.b",)),
    ],
)
def test_a_group_by_field_is_written_with_or_without_the_dollar(
    text: str, steps: tuple[Step, ...]
) -> None:
    assert parse_selector(text) == Selector(steps)


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("", 0, "expected a field's name"),
        ("$", 1, "a selector begins with $."),
        ("$.", 2, "expected a field's name"),
        ("a..b", 2, "expected a field's name"),
        (".a", 0, "expected a field's name"),
        ("a b", 1, "' ' is not part of a field's name"),
        ("$.a b", 3, "' ' is not part of a field's name"),
        ("a:b", 1, "':' is not part of a field's name"),
        ("a[*]", 0, "a wildcard stands for several values"),
        ("*", 0, "a wildcard stands for several values"),
        ("a[x]", 2, "expected an index"),
    ],
)
def test_a_group_by_field_that_is_no_path_is_refused(text: str, offset: int, says: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_selector(text)
    assert caught.value.offset == offset
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "offsets"),
    [
        ("{ $.a = x || $.b = y }", []),
        ("{ $.a = x && $.b = y }", []),
        ("{ $.a = x || $.b = y && $.c = z }", [10]),
        ("{ $.a = x && $.b = y || $.c = z }", [21]),
        ("{ $.a = x || ($.b = y && $.c = z) }", []),
        ("{ $.a = x || $.b = y && $.c = z || $.d = w }", [10, 32]),
        ("{ ($.a = x || $.b = y && $.c = z) || $.d = w }", [11]),
    ],
)
def test_joins_without_parentheses_that_may_surprise_are_told(
    pattern: str, offsets: list[int]
) -> None:
    assert mixed_operators(pattern) == offsets
