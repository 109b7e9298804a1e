"""Rule files from disk: found, read, checked; every fault is reported, not only the first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from detector.document import Document, Key, read, read_all
from detector.errors import PatternError, Place, RuleError
from detector.rules.correlation import Correlation, CorrelationFile
from detector.rules.exception import FilterFile, RuleFilter, with_exceptions
from detector.rules.filter_pattern import parse_filter_pattern, parse_selector, repaired
from detector.rules.rule import Rule, RuleFile
from detector.rules.sigma import Placeholders, parse_detection
from detector.rules.syntax import Node, Selector
from detector.typed_document import convert

RULE_SUFFIXES = (".yml", ".yaml")

MAX_CHAIN = 16
"""Correlations of correlations of correlations: the specification's example has two levels."""


@dataclass(slots=True)
class LoadedRules:
    """What was found: the good rules, and what is wrong with the others."""

    rules: list[Rule] = field(default_factory=list)
    correlations: list[Correlation] = field(default_factory=list)
    filters: list[RuleFilter] = field(default_factory=list)
    foreign: list[Rule] = field(default_factory=list)
    """Rules for other logs than CloudTrail's: they are good, and never match."""
    errors: list[RuleError] = field(default_factory=list)


def shipped_rules() -> Path:
    """Return the folder of the shipped rule packs, in an installed package or in a checkout."""
    package = Path(str(resources.files("detector")))
    installed = package / "shipped_rules"
    return installed if installed.is_dir() else package.parent / "rules"


def load_rules(paths: Sequence[Path], placeholders: Placeholders | None = None) -> LoadedRules:
    """Read the rule files named, and those in the folders named; none is left out in silence."""
    loading = _Loading(placeholders or {})
    for path in _rule_files(paths, loading.loaded.errors):
        try:
            documents = read_all(path, RuleError)
        except RuleError as error:
            loading.loaded.errors.append(error)
            continue
        for document in documents:
            loading.add(document)
    return loading.finish()


def load_placeholders(path: Path) -> Placeholders:
    """Read a placeholder file: a mapping of names to lists of values.

    Raises:
        RuleError: it cannot be read, or is something else; with its place.
    """
    document = read(path, RuleError)
    return convert(document, dict[str, list[str | int | float]], RuleError)


def rule_of(document: Document, placeholders: Placeholders | None = None) -> Rule:
    """Return the rule in a document.

    Raises:
        RuleError: something in it is wrong; with its place.
    """
    rule_file = convert(document, RuleFile, RuleError)
    if rule_file.pattern is not None:
        tree = _pattern_tree(rule_file.pattern, document)
    else:
        tree = parse_detection(rule_file.detection or {}, document, "detection", placeholders or {})
    group_by = []
    for position, name in enumerate(rule_file.window.group_by):
        keys: list[Key] = ["window", "group_by", position]
        group_by.append((name, _selector(name, document, keys)))
    return Rule(
        rule_file, tree, tuple(group_by), document.path, document, _metric(rule_file, document)
    )


def _metric(rule_file: RuleFile, document: Document) -> Selector | None:
    window = rule_file.window
    if window.literal is not None:
        return None
    return _selector(str(window.metric_value), document, ["window", "metric_value"])


def _pattern_tree(pattern: str, document: Document) -> Node:
    try:
        return parse_filter_pattern(pattern)
    except PatternError as error:
        fault = error.at(document.scalar_place(["pattern"], error.offset))
        whole = repaired(pattern)
        if whole is not None:
            fault.remedy = f"{fault.remedy}; the whole pattern was probably meant to be {whole}"
        raise fault from error


def _selector(name: str, document: Document, keys: Sequence[Key]) -> Selector:
    try:
        return parse_selector(name)
    except PatternError as error:
        raise error.at(document.scalar_place(keys, error.offset)) from error


class _Loading:
    """Documents on their way to rules that know each other."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._taken: dict[str, str] = {}
        """Where each id and name stands already."""
        self._correlations: list[tuple[CorrelationFile, Document]] = []
        self._rules: list[Rule] = []
        self.loaded = LoadedRules()

    def add(self, document: Document) -> None:
        keys = document.data if isinstance(document.data, dict) else {}
        try:
            if "correlation" in keys:
                file = convert(document, CorrelationFile, RuleError)
                self._take(file.identity, file.name, document)
                self._correlations.append((file, document))
            elif "filter" in keys:
                self.loaded.filters.append(_filter(document, self._placeholders))
            else:
                rule = rule_of(document, self._placeholders)
                self._take(rule.id, rule.file.name, document)
                self._rules.append(rule)
        except RuleError as error:
            self.loaded.errors.append(error)

    def finish(self) -> LoadedRules:
        """Make the exceptions, find the correlations' members, and leave out what is silent."""
        loaded = self.loaded
        for rule in self._rules:
            tree = with_exceptions(
                rule.tree, [item for item in loaded.filters if item.is_about(rule)]
            )
            if rule.file.is_in_force:
                target = loaded.rules if rule.file.logsource.is_cloudtrail else loaded.foreign
                target.append(replace(rule, tree=tree))
        self._resolve_correlations()
        return loaded

    def _take(self, identity: str, name: str, document: Document) -> None:
        for key, value in (("id", identity), ("name", name)):
            if value and value in self._taken:
                raise RuleError(
                    f"the {key} {value} is that of {self._taken[value]} too",
                    place=document.place([key]),
                    remedy=f"give each rule {'an id' if key == 'id' else 'a name'} of its own",
                )
        for value in filter(None, (identity, name)):
            self._taken[value] = document.path

    def _resolve_correlations(self) -> None:
        described = {rule.id: rule.file.name for rule in self._rules}
        described |= {file.identity: file.name for file, _ in self._correlations}
        ids = {identity: identity for identity in described}
        ids |= {name: identity for identity, name in described.items() if name}
        files = [*(rule.file for rule in self._rules), *(file for file, _ in self._correlations)]
        silent = {file.identity for file in files if not file.is_in_force}
        chains: dict[str, tuple[str, ...]] = {}
        for file, document in self._correlations:
            try:
                found = _members(file, document, ids, silent)
                correlation = _correlation(file, document, found, described)
            except RuleError as error:
                self.loaded.errors.append(error)
                continue
            chains[correlation.id] = found
            if file.is_in_force:
                self.loaded.correlations.append(correlation)
        self._refuse_chains_that_shrink()
        for correlation in list(self.loaded.correlations):
            if _depth(correlation.id, chains, MAX_CHAIN) > MAX_CHAIN:
                self._refuse(
                    correlation,
                    f"the correlation refers to itself, or through more than {MAX_CHAIN} others",
                    ["correlation", "rules"],
                )

    def _refuse_chains_that_shrink(self) -> None:
        """Refuse correlations about others that may cease to fire when another event comes in."""
        by_id = {item.id: item for item in self.loaded.correlations}
        for correlation in list(self.loaded.correlations):
            for position, member in enumerate(correlation.members):
                if member in by_id and not by_id[member].only_grows:
                    self._refuse(
                        correlation,
                        f"{correlation.file.correlation.rules[position]} may cease to fire when"
                        " another event comes in, so nothing can be built on it",
                        ["correlation", "rules", position],
                        remedy="name a correlation that counts, with gt or gte alone",
                    )
                    break

    def _refuse(
        self,
        correlation: Correlation,
        message: str,
        keys: Sequence[Key],
        remedy: str | None = None,
    ) -> None:
        assert correlation.document is not None  # noqa: S101 - it was read from one
        place = correlation.document.place(keys)
        self.loaded.correlations.remove(correlation)
        self.loaded.errors.append(RuleError(message, place=place, remedy=remedy))


def _members(
    file: CorrelationFile, document: Document, ids: Mapping[str, str], silent: Collection[str]
) -> tuple[str, ...]:
    members = []
    for position, reference in enumerate(file.correlation.rules):
        if reference not in ids:
            raise RuleError(
                f"no rule has the id or name {reference}",
                place=document.place(["correlation", "rules", position]),
                remedy="name a rule that is loaded together with this one",
            )
        if ids[reference] in members:
            raise RuleError(
                f"{reference} is named twice, once by its id and once by its name",
                place=document.place(["correlation", "rules", position]),
            )
        if ids[reference] in silent:
            raise RuleError(
                f"the rule {reference} is not in force, and the correlation could never fire",
                place=document.place(["correlation", "rules", position]),
                remedy="give the rule another status, or leave it out",
            )
        members.append(ids[reference])
    return tuple(members)


def _correlation(
    file: CorrelationFile, document: Document, members: tuple[str, ...], names: Mapping[str, str]
) -> Correlation:
    settings = file.correlation
    known = {*settings.rules, *members, *(names[member] for member in members)}
    for alias, ways in settings.aliases.items():
        for name in ways:
            if name not in known:
                raise RuleError(
                    f"the alias {alias} names the rule {name}, which the correlation is not about",
                    place=document.key_place(["correlation", "aliases", alias, name]),
                    remedy=f"known: {', '.join(settings.rules)}",
                )
    group_by = []
    for field_name in settings.group_by:
        aliased = settings.aliases.get(field_name, {})
        where = {}
        for reference, member in zip(settings.rules, members, strict=True):
            spellings = (reference, member, names[member])
            actual = next((aliased[name] for name in spellings if name in aliased), field_name)
            where[member] = Selector(tuple(actual.split(".")), through_lists=True)
        group_by.append(where)
    fields = settings.condition.fields if settings.condition else ()
    return Correlation(
        file,
        members,
        tuple(group_by),
        tuple(Selector(tuple(name.split(".")), through_lists=True) for name in fields),
        document.path,
        document,
    )


def _depth(identity: str, members: Mapping[str, tuple[str, ...]], most: int) -> int:
    """Return how many correlations stand above the rules, `most + 1` where it is more."""
    level = {identity}
    for depth in range(1, most + 1):
        level = {inner for item in level for inner in members.get(item, ()) if inner in members}
        if not level:
            return depth
    return most + 1


def _filter(document: Document, placeholders: Placeholders) -> RuleFilter:
    file = convert(document, FilterFile, RuleError)
    searches = {key: value for key, value in file.filter.items() if key != "rules"}
    tree = parse_detection(searches, document, "filter", placeholders)
    return RuleFilter(file, tree, document.path, document)


def _rule_files(paths: Iterable[Path], errors: list[RuleError]) -> list[Path]:
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            try:
                found = sorted(rule_files_below(path, {path.resolve()}))
            except OSError as error:
                errors.append(_no_rules(path, f"the folder cannot be read: {error.strerror}"))
                continue
            if not found:
                errors.append(_no_rules(path, "the folder holds no .yml or .yaml file"))
            files.update(dict.fromkeys(found))
        elif path.exists():
            files[path] = None
        else:
            errors.append(_no_rules(path, "there is no such file or folder"))
    return list(files)


def rule_files_below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the rule files in a folder and below, each once, by whatever links it is reached.

    Names with a leading dot are left out: editors' locks, and the folders behind the links of a
    mounted Kubernetes ConfigMap, which would show every rule twice.

    Raises:
        OSError: a folder cannot be read.
    """
    for item in sorted(folder.iterdir()):
        actual = item.resolve()
        if item.name.startswith(".") or actual in seen:
            continue
        if item.is_dir():
            seen.add(actual)
            yield from rule_files_below(item, seen)
        elif item.suffix in RULE_SUFFIXES:
            seen.add(actual)
            yield item


def _no_rules(path: Path, why: str) -> RuleError:
    return RuleError(why, place=Place(str(path)))
