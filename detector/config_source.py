"""The configuration file of a running service: when it is read again, and what comes of that.

A file that is as good as at a start brings its silences, its `rule_status` and which sources are
`paused` into force. All else is for the next start, and is said to be. What is decided here is
pure; `ConfigFile` alone touches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from detector.alerts.text import clean
from detector.config import Config, SourceConfig, load_config
from detector.errors import ConfigError
from detector.rule_source import Fingerprint, ReloadResult, Settling, mark

RELOADED = ("silences", "rule_status")
"""The sections that come into force while the service runs: those that change what is made of
events, and open no file, socket or queue."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConfigReload:
    """What came of reading the configuration again.

    `config` is the one in force from now on. `changed` names the sections in which it is new,
    `waiting` those in which the file differs from what the service was started with.
    """

    config: Config
    changed: Sequence[str] = ()
    waiting: Sequence[str] = ()
    error: ConfigError | None = None

    @property
    def result(self) -> ReloadResult:
        """The result in one word."""
        if self.error is not None:
            return "failed"
        return "applied" if self.changed else "unchanged"


def differing(one: Config, other: Config) -> list[str]:
    """Return the names of the sections in which two configurations differ, in their order."""
    names = one.__struct_fields__
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def taken_over(in_force: Config, read: Config) -> ConfigReload:
    """Return what a good file makes of the configuration in force."""
    new = {name: getattr(read, name) for name in RELOADED}
    config = msgspec.structs.replace(in_force, **new, sources=_paused_as_in(read, in_force.sources))
    return ConfigReload(config, differing(in_force, config), differing(config, read))


def _paused_as_in(read: Config, sources: Sequence[SourceConfig]) -> tuple[SourceConfig, ...]:
    """Return the sources as they are, but paused as those of the same name in what was read."""
    paused = {source.name: source.paused for source in read.sources}
    return tuple(
        msgspec.structs.replace(source, paused=paused.get(source.name, source.paused))
        for source in sources
    )


class ConfigFile:
    """A configuration file, and the configuration in force that came of it."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: it cannot be read or something in it is wrong; with its place.
        """
        self._path = path
        # Looked at first: what changes while it is read is then seen to have changed afterwards.
        self._settling = Settling(self._fingerprint())
        self.config = load_config(path)

    def is_due(self) -> bool:
        """Take one look; return whether the file has changed and come to rest."""
        return self._settling.is_due(self._fingerprint())

    def reload(self) -> ConfigReload:
        """Read the file again; what is wrong with it is in the result, and changes nothing."""
        self._settling.has_read(self._fingerprint())
        try:
            done = taken_over(self.config, load_config(self._path))
        except ConfigError as error:
            return ConfigReload(self.config, error=error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the one in force is good
            kind = type(error).__name__
            fault = ConfigError(f"unexpected {kind}: {error}; this is a bug, please report it")
            return ConfigReload(self.config, error=fault)
        self.config = done.config
        return done

    def _fingerprint(self) -> Fingerprint:
        return {str(self._path): mark(self._path)}


def log_config_reload(done: ConfigReload, reason: str) -> None:
    """Log what came of reading the configuration again; of values, not a word: some are secret."""
    silences = len(done.config.silences)
    if done.error is not None:
        log.error(
            "configuration not reloaded, the old one stays in force",
            reason=reason,
            error=clean(str(done.error)),
            silences=silences,
        )
    elif done.changed:
        log.info(
            "configuration reloaded", reason=reason, changed=list(done.changed), silences=silences
        )
    else:
        log.info("configuration unchanged", reason=reason, silences=silences)
    if done.waiting:
        log.warning(
            "configuration differs in what needs a restart",
            reason=reason,
            sections=list(done.waiting),
        )
