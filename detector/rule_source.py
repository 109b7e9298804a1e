"""Where the rules in force come from, and when and how they are read again.

What is decided here is pure: whether files have changed and come to rest, what an operator's
statuses make of the rules, how two sets of rules differ. `RuleSource` alone touches the disk.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec
import structlog

from detector.alerts.text import clean
from detector.config import Config
from detector.errors import Place, RuleError
from detector.rules.correlation import Correlation
from detector.rules.exception import RuleFilter
from detector.rules.loader import (
    LoadedRules,
    load_placeholders,
    load_rules,
    rule_files_below,
    shipped_rules,
)
from detector.rules.rule import SILENT_STATUSES, Described, Rule, Status
from detector.rules.ruleset import RuleSet

D = TypeVar("D", bound=Described)

MAX_LISTED_RULES = 20
"""Rule ids written of one kind of change: a log line is for reading, and a pack may hold hundreds.
"""


class FileMark(NamedTuple):
    """What changes with a file's content: size in bytes, times in nanoseconds.

    The time of change tells what the others hide: an edit that puts the old time of modification
    back, and a file that could not be read and now can.
    """

    size: int
    modified: int
    changed: int
    inode: int


AnyRule = Rule | Correlation

log = structlog.get_logger()

ReloadResult = Literal["applied", "unchanged", "failed"]

Fingerprint = Mapping[str, FileMark | None]
"""The files that rules are read from, by path; None for what cannot be looked at."""


class Settling:
    """Tells when files have changed since they were read, and come to rest.

    A change counts once two looks in a row find the same: between them a file may be half written,
    or gone for the moment in which an editor renames.
    """

    def __init__(self, read: Fingerprint) -> None:
        self._read = self._last = read

    def is_due(self, now: Fingerprint) -> bool:
        """Take one look; return whether it is time to read the files."""
        is_due = self._read != now == self._last
        self._last = now
        return is_due

    def has_read(self, seen: Fingerprint) -> None:
        """Note that the files were read, good or bad; `seen` is how they were just before."""
        self._read = self._last = seen


def all_rules(rules: RuleSet) -> list[AnyRule]:
    """Return what a set holds: its rules, and the correlations of their matches."""
    return [*rules.rules.values(), *rules.correlations]


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """The ids of the rules in which two sets differ, sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def as_fields(self) -> dict[str, object]:
        """Return fields for a log line: how many of each kind, and the first of their ids."""
        fields: dict[str, object] = {}
        for kind in ("added", "removed", "changed"):
            ids: tuple[str, ...] = getattr(self, kind)
            fields[kind] = len(ids)
            if ids:
                fields[f"{kind}_ids"] = list(ids[:MAX_LISTED_RULES])
        return fields


def compare(old: Iterable[AnyRule], new: Iterable[AnyRule]) -> RuleChanges:
    """Return how rules differ from older ones.

    Two rules of one id are the same if they say the same: where they stand does not matter.
    """
    before = {item.id: _said(item) for item in old}
    after = {item.id: _said(item) for item in new}
    both = before.keys() & after.keys()
    return RuleChanges(
        added=tuple(sorted(after.keys() - both)),
        removed=tuple(sorted(before.keys() - both)),
        changed=tuple(sorted(key for key in both if before[key] != after[key])),
    )


def _said(item: AnyRule) -> AnyRule:
    return replace(item, path="", document=None)


def with_statuses(loaded: LoadedRules, statuses: Mapping[str, Status]) -> LoadedRules:
    """Return rules with an operator's statuses, by rule id, instead of those in their files.

    An id that no rule has is an error, unless there are others: the rule may be in a broken file.
    """
    if not statuses:
        return loaded
    rules = [replace(rule, file=_with_status(rule.file, statuses)) for rule in loaded.rules]
    correlations = [
        replace(item, file=_with_status(item.file, statuses)) for item in loaded.correlations
    ]
    errors = list(loaded.errors)
    if not errors:
        known: list[AnyRule] = [*loaded.rules, *loaded.correlations, *loaded.foreign]
        titles = {item.id: item.file.title for item in known}
        errors = [_unknown(rule_id, titles) for rule_id in statuses if rule_id not in titles]
    given: list[AnyRule] = [*rules, *correlations]
    silenced = {item.id for item in given if not item.file.is_in_force}
    errors += [
        RuleError(
            f"rule_status silences {member}, a member of the correlation {item.id}, which could"
            " then never fire",
            place=Place(item.path),
            remedy="silence both, or neither",
        )
        for item in correlations
        if item.file.is_in_force
        for member in item.members
        if member in silenced
    ]
    # As the loader does it: what a status silences is checked, and not in force.
    return replace(
        loaded,
        rules=[rule for rule in rules if rule.file.is_in_force],
        correlations=[item for item in correlations if item.file.is_in_force],
        errors=errors,
    )


def _with_status(file: D, statuses: Mapping[str, Status]) -> D:
    status = statuses.get(file.identity)
    return file if status is None else msgspec.structs.replace(file, status=status)


def _unknown(rule_id: str, titles: Mapping[str, str]) -> RuleError:
    nearest = difflib.get_close_matches(rule_id, titles, n=1)
    return RuleError(
        f"rule_status.{rule_id}: no rule has this id",
        remedy=f"did you mean {nearest[0]} ({titles[nearest[0]]})?"
        if nearest
        else f"remove it, or load the rule; one that is {' or '.join(sorted(SILENT_STATUSES))} in"
        " its file is not loaded",
    )


@dataclass(frozen=True, slots=True)
class RulesRead:
    """What one reading found. `seen` is how the files were just before it."""

    loaded: LoadedRules
    seen: Fingerprint

    @property
    def errors(self) -> Sequence[RuleError]:
        """All that is wrong; where anything is, the rules must not come into force."""
        return self.loaded.errors

    @property
    def filters(self) -> Sequence[RuleFilter]:
        """The exceptions that were read."""
        return self.loaded.filters

    def rule_set(self) -> RuleSet:
        """Return the rules compiled."""
        return RuleSet(self.loaded.rules, self.loaded.correlations)


class RuleSource:
    """The rules that a configuration asks for: its paths, its placeholders, its statuses."""

    def __init__(
        self,
        paths: Sequence[Path],
        placeholders: Path | None = None,
        statuses: Mapping[str, Status] | None = None,
    ) -> None:
        self._paths = paths
        self._placeholders = placeholders
        self._statuses = statuses or {}

    @classmethod
    def of(cls, config: Config) -> RuleSource:
        """Return the source of a configuration's rules, which are the shipped ones by default."""
        return cls(
            [Path(path) for path in config.rules] or [shipped_rules()],
            Path(config.placeholders) if config.placeholders is not None else None,
            config.rule_status,
        )

    def read(self) -> RulesRead:
        """Read all the rules; what is wrong with them is in the result."""
        # Looked at first: what changes while it is read is then seen to have changed afterwards.
        seen = self.fingerprint()
        return RulesRead(self.load(), seen)

    def load(self) -> LoadedRules:
        """Read all the rules, without a look at their files' marks."""
        try:
            placeholders = load_placeholders(self._placeholders) if self._placeholders else None
            loaded = load_rules(self._paths, placeholders)
        except RuleError as error:
            return LoadedRules(errors=[error])
        except OSError as error:  # a folder that goes, or is closed to us, while it is walked
            place = Place(str(error.filename)) if error.filename else None
            fault = RuleError(f"the rules cannot be read: {error.strerror}", place=place)
            return LoadedRules(errors=[fault])
        return with_statuses(loaded, self._statuses)

    def fingerprint(self) -> Fingerprint:
        """Return the marks of all files that are read; costs some system calls for each."""
        return {path: mark(path) for path in self._files()}

    def _files(self) -> Iterator[str]:
        if self._placeholders is not None:
            yield str(self._placeholders)
        for path in self._paths:
            try:
                yield from map(str, rule_files_below(path, {path.resolve()}))
            except OSError:  # a file, or nothing that can be walked now
                yield str(path)


def mark(path: str | Path) -> FileMark | None:
    """Return a file's mark, or None if it cannot be looked at."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return FileMark(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class Reload:
    """What came of reading the rules again.

    `rules` is the new set where there is reason to put it in force: it is whole, good, and differs.
    `filters` are the exceptions that were read, unless there are errors: they can be others
    though no rule has changed.
    """

    seen: Fingerprint
    rules: RuleSet | None = None
    changes: RuleChanges = RuleChanges()
    errors: Sequence[RuleError] = ()
    filters: Sequence[RuleFilter] = ()

    @property
    def result(self) -> ReloadResult:
        """The result in one word."""
        if self.errors:
            return "failed"
        return "unchanged" if self.rules is None else "applied"


def reload(source: RuleSource, in_force: RuleSet) -> Reload:
    """Read the rules again, whole, and compare them with those in force; never raises."""
    seen = source.fingerprint()
    try:
        loaded = source.load()
        if loaded.errors:
            return Reload(seen, errors=loaded.errors)
        changes = compare(all_rules(in_force), [*loaded.rules, *loaded.correlations])
        rules = RuleSet(loaded.rules, loaded.correlations) if changes else None
        return Reload(seen, rules, changes, filters=loaded.filters)
    except Exception as error:  # noqa: BLE001 - whatever it is, the rules in force are good
        kind = type(error).__name__
        fault = RuleError(f"unexpected {kind}: {error}; this is a bug, please report it")
        return Reload(seen, errors=[fault])


def log_reload(done: Reload, reason: str, rules: int) -> None:
    """Log what came of reading the rules again; `rules` is how many are in force."""
    for error in done.errors:
        log.error("rule refused", error=clean(str(error)))
    if done.errors:
        log.error(
            "rules not reloaded, the old ones stay in force",
            reason=reason,
            errors=len(done.errors),
            rules=rules,
        )
    elif done.changes:
        log.info("rules reloaded", reason=reason, rules=rules, **done.changes.as_fields())
    else:
        log.info("rules unchanged", reason=reason, rules=rules)
