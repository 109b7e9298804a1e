"""Trees and records for property tests, from a world so small that they often meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from detector.rules.syntax import And, Compare, Equality, Node, Number, Or, Selector, Text

PATHS = (
    ("eventName",),
    ("eventSource",),
    ("errorCode",),
    ("userIdentity",),
    ("userIdentity", "type"),
    ("userIdentity", "sessionContext", "mfa"),
    ("requestParameters", "name"),
)

words = st.text(alphabet="ab1.", max_size=4)
names = st.sampled_from(["a", "b", "ab", "1", "PutUserPolicy", ""])
numbers = st.sampled_from([0, 1, -1, 1.0, 1.5, 10, 1e20, 2**70])
scalars = st.one_of(words, names, numbers, st.booleans(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "mfa", "name", "x"]), inner, max_size=3),
    ),
    max_leaves=5,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Records that have some of the fields, with values of every kind in them."""
    event: dict[str, Any] = {}
    for key in ("eventName", "eventSource", "errorCode", "userIdentity", "requestParameters"):
        if draw(st.booleans()):
            event[key] = draw(st.one_of(names, values))
    if draw(st.booleans()):
        context = draw(st.one_of(values, st.fixed_dictionaries({"mfa": scalars})))
        event["userIdentity"] = {"type": draw(scalars), "sessionContext": context}
    if draw(st.booleans()):
        event["requestParameters"] = {"name": draw(values)}
    return event


literals = st.one_of(
    st.builds(Text, names),
    st.builds(Text, st.text(alphabet="ab1.*", max_size=5)),
    st.sampled_from(["1", "1.0", "1.5", "01", "1e20", "-1"]).map(
        lambda spelling: Number(float(spelling), spelling)
    ),
)
comparisons = st.builds(
    Compare, st.sampled_from(PATHS).map(Selector), st.sampled_from(Equality), literals
)


def _combined(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    operands = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.one_of(st.builds(And, operands), st.builds(Or, operands))


trees: st.SearchStrategy[Node] = st.recursive(comparisons, _combined, max_leaves=12)
