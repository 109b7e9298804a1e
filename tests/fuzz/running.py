"""What the targets have in common: instrumented imports, and a run with seeds and a dictionary."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.mutation import mutator

try:
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    sys.exit("atheris is not installed; make fuzz installs it where there is a wheel of it")

# What imports the detector is imported nowhere but in `instrumented`.
RULES = Path(__file__).parents[2] / "rules"

SECONDS = 20
"""What one input may take: much, since instrumented code on a busy machine is slow."""


class Form(NamedTuple):
    """How plain data is read from an input and written to it, and values to put into it."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    values: Sequence[object]


def instrumented() -> AbstractContextManager[Any]:
    """Return a context in which the detector's modules are imported so that they are followed."""
    context: AbstractContextManager[Any] = atheris.instrument_imports(include=["detector"])
    return context


def rule_files() -> Iterator[Path]:
    """Yield the files of the shipped rules."""
    yield from sorted(RULES.rglob("*.yml"))


def fuzz(
    check: Callable[[bytes], None],
    *,
    seeds: Iterable[bytes],
    words: Iterable[str],
    max_bytes: int,
    form: Form | None = None,
) -> None:
    """Give `check` inputs until it raises, takes too long, or libFuzzer's arguments say stop.

    Inputs are grown from `seeds`, with `words` put in, or other data in their `form`. One that
    fails is written to the folder for temporary files, and never below this repository.
    """
    name = Path(sys.argv[0]).stem
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="detector-fuzz-") as temporary:
        dictionary = Path(temporary) / "words"
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in dict.fromkeys(words)))
        folder = Path(temporary) / "seeds"
        folder.mkdir()
        for number, seed in enumerate(dict.fromkeys(seeds)):
            (folder / str(number)).write_bytes(seed)
        defaults = [
            f"-timeout={SECONDS}",
            f"-max_len={max_bytes}",
            f"-dict={dictionary}",
            f"-artifact_prefix={tempfile.gettempdir()}/detector-fuzz-{name}-",
        ]
        # Files are inputs to be tried again; libFuzzer takes these only without a folder.
        again = any(Path(item).is_file() for item in arguments if not item.startswith("-"))
        folders = [] if again else [str(folder)]
        # libFuzzer ends its process itself, without a chance to remove anything.
        child = os.fork()
        if child == 0:
            changed = {"custom_mutator": mutator(*form, _mutate)} if form else {}
            atheris.Setup([sys.argv[0], *defaults, *arguments, *folders], check, **changed)
            atheris.Fuzz()
            os._exit(0)
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def _mutate(data: bytes, most: int) -> bytes:
    changed: bytes = atheris.Mutate(data, most)  # another function once libFuzzer runs
    return changed


def _escaped(word: str) -> str:
    plain = set(range(0x20, 0x7F)) - set(b'"\\')
    return "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in word.encode())
