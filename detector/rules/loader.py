"""Rule files from disk: found, read, checked; every fault is reported, not only the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from detector.document import Document, Key, read
from detector.errors import PatternError, Place, RuleError
from detector.rules.filter_pattern import parse_filter_pattern, parse_selector
from detector.rules.rule import Rule, RuleFile
from detector.typed_document import convert

RULE_SUFFIXES = (".yml", ".yaml")

SILENT_STATUSES = frozenset({"deprecated", "unsupported"})
"""Sigma's words for rules that are kept for reference; they are checked, but not loaded."""


@dataclass(slots=True)
class LoadedRules:
    """What was found: the good rules, and what is wrong with the others."""

    rules: list[Rule] = field(default_factory=list)
    errors: list[RuleError] = field(default_factory=list)


def shipped_rules() -> Path:
    """Return the folder of the shipped rule packs, in an installed package or in a checkout."""
    package = Path(str(resources.files("detector")))
    installed = package / "shipped_rules"
    return installed if installed.is_dir() else package.parent / "rules"


def load_rules(paths: Sequence[Path]) -> LoadedRules:
    """Read the rule files named, and those in the folders named; none is left out in silence."""
    loaded = LoadedRules()
    by_id: dict[str, Rule] = {}
    for path in _rule_files(paths, loaded.errors):
        try:
            document = read(path, RuleError)
            rule = rule_of(document)
        except RuleError as error:
            loaded.errors.append(error)
            continue
        if rule.id in by_id:
            loaded.errors.append(_duplicate_id(rule, by_id[rule.id], document))
            continue
        by_id[rule.id] = rule
        if rule.file.status not in SILENT_STATUSES:
            loaded.rules.append(rule)
    return loaded


def rule_of(document: Document) -> Rule:
    """Return the rule in a document.

    Raises:
        RuleError: something in it is wrong; with its place.
    """
    rule_file = convert(document, RuleFile, RuleError)
    try:
        tree = parse_filter_pattern(rule_file.pattern)
    except PatternError as error:
        raise error.at(document.scalar_place(["pattern"], error.offset)) from error
    group_by = []
    for position, name in enumerate(rule_file.window.group_by):
        try:
            group_by.append((name, parse_selector(name)))
        except PatternError as error:
            keys: list[Key] = ["window", "group_by", position]
            raise error.at(document.scalar_place(keys, error.offset)) from error
    return Rule(rule_file, tree, tuple(group_by), document.path)


def _duplicate_id(rule: Rule, other: Rule, document: Document) -> RuleError:
    return RuleError(
        f"the id {rule.id} is that of {other.path} too",
        place=document.place(["id"]),
        remedy="give each rule an id of its own",
    )


def _rule_files(paths: Iterable[Path], errors: list[RuleError]) -> list[Path]:
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found = sorted(item for item in path.rglob("*") if item.suffix in RULE_SUFFIXES)
            if not found:
                errors.append(_no_rules(path, "the folder holds no .yml or .yaml file"))
            files.update(dict.fromkeys(found))
        elif path.exists():
            files[path] = None
        else:
            errors.append(_no_rules(path, "there is no such file or folder"))
    return list(files)


def _no_rules(path: Path, why: str) -> RuleError:
    return RuleError(why, place=Place(str(path)))
