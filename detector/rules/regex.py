"""Regular expressions that match in linear time, whatever is in them and in the value.

RE2 has no backtracking; what it cannot express (look-around, back-references) is refused when the
rule is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2

from detector.rules.syntax import Regex

MAX_PROGRAM_BYTES = 1 << 20
"""Memory for one compiled expression. `(\\w{500}){2}` asks for more: it must be refused when it is
loaded, not when the memory is gone."""


class RegexError(ValueError):
    """RE2 cannot take the expression; the message says why."""


@lru_cache(maxsize=4096)
def searcher(regex: Regex) -> Callable[[str], bool]:
    """Return a function that says whether the expression is found in a text.

    Raises:
        RegexError: RE2 cannot take it.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PROGRAM_BYTES
    flags = "i" * regex.ignore_case + "m" * regex.multi_line + "s" * regex.dot_all
    try:
        expression = f"(?{flags}){regex.expression}" if flags else regex.expression
        search = re2.compile(expression, options).search
    except re2.error as error:
        raise RegexError(_message(error)) from error
    except UnicodeEncodeError as error:
        raise RegexError("it holds a lone surrogate") from error

    def found(text: str) -> bool:
        try:
            return search(text) is not None
        except UnicodeEncodeError:  # a lone surrogate, which only a dict from elsewhere can hold
            return search(text.encode("utf-8", "replace").decode()) is not None

    return found


def _message(error: re2.error) -> str:
    (message,) = error.args[:1] or ("unknown",)
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
