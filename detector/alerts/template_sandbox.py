"""What a template may do: read values, choose, repeat; nothing that reaches out or has no end.

Jinja's own sandbox keeps templates from Python's inside. This one also keeps them from making much
of little by mistake: there are no products of texts, no padding, and a limit to what is repeated.
Whoever writes the configuration is trusted with the rest.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import ChainableUndefined, Template, TemplateSyntaxError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_STEPS = 20_000
"""Turns of loops and calls that filling in one template may take: some 20 ms. The largest alert has
some thousands of values."""

FILTERS = frozenset(
    {
        *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float"),
        *("groupby", "int", "items", "join", "last", "length", "list", "lower", "map", "max"),
        *("min", "reject", "rejectattr", "replace", "reverse", "round", "select", "selectattr"),
        *("sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique"),
        *("upper", "wordcount"),
    }
)
"""Jinja's filters but for those that pad a text to any width, and for those for HTML."""

METHODS = frozenset(
    {
        *("count", "endswith", "get", "index", "items", "keys", "lower", "lstrip"),
        *("removeprefix", "removesuffix", "rsplit", "rstrip", "split", "startswith", "strip"),
        *("title", "upper", "values"),
    }
)
"""Of texts, lists and mappings: those that return no more than there was."""

_OPERATORS = frozenset({"*", "**", "%"})
_COUNTED = "_counted"
_STEPS = " steps"
"""Among the values of a template; no template can write this name."""


class Fields(dict[str, Any]):
    """A mapping of which all names are known: another one is a mistake of the template.

    What stands in other mappings, such as records, differs from alert to alert: a name that is not
    there is an empty text.
    """

    @property
    def names(self) -> Iterable[str]:
        """All names that there can be."""
        return self


class UnknownNameError(Exception):
    """A template asks for what nothing is called. `known` are the names that there are."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"{what} {name}")
        self.name = name
        self.known = sorted(known)

    @property
    def remedy(self) -> str:
        """What is to be written instead."""
        nearest = difflib.get_close_matches(self.name, self.known, n=1)
        meant = f"did you mean {nearest[0]}? " if nearest else ""
        return f"{meant}Known here: {', '.join(self.known)}"


class TooLongError(Exception):
    """A template repeats too much."""

    def __init__(self) -> None:
        super().__init__(f"it takes more than {MAX_STEPS} steps")


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of templates."""

    intercepted_binops = _OPERATORS

    def __init__(self, finalize: Callable[[Any], str]) -> None:
        super().__init__(
            undefined=ChainableUndefined,
            finalize=finalize,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.globals.clear()
        for name in self.filters.keys() - FILTERS:
            del self.filters[name]
        self.filters[_COUNTED] = _counted

    def read(self, source: str, known: Iterable[str]) -> Template:
        """Return the template of a text that uses no values but `known` ones.

        Raises:
            UnknownNameError: it uses a value or filter that is not there.
            TemplateSyntaxError: it is no template, or uses what is not to be had here.
        """
        tree = self.parse(source)
        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            raise TemplateSyntaxError("there are no other templates to load", node.lineno)
        for asked in tree.find_all(nodes.Filter):
            if asked.name not in FILTERS:
                raise UnknownNameError("there is no filter", asked.name, FILTERS)
        for test in tree.find_all(nodes.Test):
            if test.name not in self.tests:
                raise UnknownNameError("there is no test", test.name, self.tests)
        for name in sorted(find_undeclared_variables(tree) - set(known)):
            raise UnknownNameError("nothing is called", name, known)
        for loop in list(tree.find_all(nodes.For)):
            if loop.recursive:
                raise TemplateSyntaxError("a loop cannot call itself", loop.lineno)
            loop.iter = nodes.Filter(
                loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno, environment=self
            )
        return self.from_string(tree)

    def fill(self, template: Template, values: Mapping[str, Any], longest: int) -> str:
        """Return what a template makes of values, no more than so many characters.

        Raises:
            UnknownNameError: it uses a field that is not there.
            Exception: whatever else goes wrong in it.
        """
        made: list[str] = []
        size = 0
        for text in template.generate({**values, _STEPS: [0]}):
            made.append(text)
            size += len(text)
            if size >= longest:
                break
        return "".join(made)[:longest]

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or a harmless method, and count that as a step."""
        _step(context)
        if isinstance(obj, ChainableUndefined):
            return obj  # a method of what is not there
        if not self.is_safe_callable(obj):
            raise SecurityError(f"{getattr(obj, '__name__', 'what is no macro')} cannot be called")
        return super().call(context, obj, *args, **kwargs)

    def is_safe_callable(self, obj: Any) -> bool:
        """Return whether something may be called at all."""
        if isinstance(obj, Macro):
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, LoopContext):
            return name in {"cycle", "changed"}
        return isinstance(owner, (str, dict, list)) and name in METHODS

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Do sums with numbers alone: a text times a million is a long text."""
        if operator == "**" or not all(isinstance(side, (int, float)) for side in (left, right)):
            raise SecurityError(f"{operator} is not to be had, or not with these values")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a field or method of a value."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]  # before a method of that name
        if attribute.startswith("__"):
            return self.unsafe_undefined(obj, attribute)
        return _expected(obj, attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of a value."""
        return _expected(obj, argument, super().getitem(obj, argument))

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        """Refuse what leads to Python's inside, also where it would not be shown."""
        del obj
        raise SecurityError(f"{attribute} of a value is not to be had")


def _expected(obj: Any, name: Any, found: Any) -> Any:
    if isinstance(obj, Fields) and isinstance(found, ChainableUndefined):
        raise UnknownNameError("there is no field", str(name), obj.names)
    return found


def _step(context: Context) -> None:
    steps = context.get(_STEPS)
    steps[0] += 1
    if steps[0] > MAX_STEPS:
        raise TooLongError


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _step(context)
        yield item
