"""Rules, made for tests."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from detector.document import parse
from detector.errors import RuleError
from detector.rules.loader import load_rules, rule_of, shipped_rules
from detector.rules.rule import Rule, RuleFile
from detector.rules.syntax import Node


def rule_text(**fields: Any) -> str:
    """Return a rule file; `fields` replace or add to those of a small good one, `...` removes."""
    data = {
        "title": "A test rule",
        "id": "11111111-2222-4333-8444-555555555555",
        "level": "low",
        "pattern": '{ $.eventName = "PutUserPolicy" }',
        **fields,
    }
    return yaml.safe_dump({key: value for key, value in data.items() if value is not ...})


def rule(**fields: Any) -> Rule:
    """Return the rule of `rule_text`."""
    return rule_of(parse(rule_text(**fields), "rule.yml", RuleError))


def rule_of_tree(tree: Node, rule_id: str) -> Rule:
    """Return a rule that is nothing but a tree."""
    file = RuleFile(title=rule_id, id=rule_id, level="low", pattern="{}")
    return Rule(file, tree, (), "rule.yml")


def iam_rule(**changes: Any) -> Rule:
    """Return the shipped IAM rule, with parts of its file changed."""
    window = msgspec.structs.replace(_IAM_RULE.file.window, **changes.pop("window", {}))
    file = msgspec.structs.replace(_IAM_RULE.file, window=window, **changes)
    return Rule(file, _IAM_RULE.tree, _IAM_RULE.group_by if window.group_by else (), "iam.yml")


(_IAM_RULE,) = load_rules([shipped_rules() / "cis" / "iam_policy_changes.yml"]).rules
