"""A streaming detector for AWS CloudTrail: rules, counted windows and alerts beside a SIEM."""

from importlib.metadata import PackageNotFoundError, version

from detector.rules.ruleset import RuleSet

try:
    __version__ = version("cloudtrail-detector")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0"

__all__ = ["RuleSet", "__version__"]
