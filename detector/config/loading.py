"""From the configuration's file to its tree: references, paths, names, and what does not fit.

A string may hold `${env:NAME}` or `${file:PATH}`: secrets belong there, not in the file.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

import msgspec

from detector.config.section import Named
from detector.config.sink_checks import check_sinks
from detector.config.sink_templates import check_templates
from detector.config.sinks import ArchiveSinkConfig, HTTPSink, SinkConfig
from detector.config.sources import DirectorySourceConfig, FirehoseSourceConfig, SourceConfig
from detector.config.tree import Config, QuarantineConfig
from detector.document import Document, Key, read
from detector.errors import ConfigError, Place
from detector.quarantine.entry import QUARANTINE
from detector.rules.loader import shipped_rules
from detector.rules.rule import Status
from detector.typed_document import convert

_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")

SHIPPED = "shipped"
"""Stands among the rules for the shipped packs."""

P = TypeVar("P", bound=Named)


def load_config(path: Path) -> Config:
    """Read a configuration file; paths in the result are absolute, every part has its name.

    Raises:
        ConfigError: the file cannot be read or something in it is wrong; with its place.
    """
    document = read(path, ConfigError)
    folder = path.resolve().parent
    data = _resolve(document.data, [], document, folder)
    document = replace(document, data=data)
    _check_statuses(document)
    config = convert(document, Config, ConfigError)
    config = msgspec.structs.replace(
        config,
        sources=tuple(
            _absolute(source, folder) for source in _with_names(config.sources, "sources", document)
        ),
        sinks=tuple(
            _absolute_sink(sink, folder) for sink in _with_names(config.sinks, "sinks", document)
        ),
        rules=tuple(
            str(shipped_rules() if name == SHIPPED else folder / name) for name in config.rules
        ),
        placeholders=None if config.placeholders is None else str(folder / config.placeholders),
        state=msgspec.structs.replace(config.state, path=str(folder / config.state.path)),
        quarantine=_placed(config, folder),
    )
    _check_quarantine(config, document)
    check_sinks(config, document)
    check_templates(config, document)
    return config


def _placed(config: Config, folder: Path) -> QuarantineConfig:
    """Return the quarantine's part with a path: an absolute one where it is a folder."""
    quarantine = config.quarantine
    if quarantine.is_in_s3:
        return quarantine
    path = folder / quarantine.path
    if not quarantine.path:
        path = (folder / config.state.path).parent / QUARANTINE
    return msgspec.structs.replace(quarantine, path=str(path))


def _check_quarantine(config: Config, document: Document) -> None:
    """Refuse a quarantine that a source would read: each entry would become another one."""
    if config.quarantine.is_in_s3:
        return
    path = Path(config.quarantine.path).resolve()
    for source in config.sources:
        if isinstance(source, DirectorySourceConfig) and path.is_relative_to(
            Path(source.path).resolve()
        ):
            raise ConfigError(
                f"the quarantine {path} lies in the folder that the source {source.name} reads",
                place=document.place(["quarantine", "path"]),
                remedy="set quarantine.path to a folder outside of it",
            )


def _absolute(source: SourceConfig, folder: Path) -> SourceConfig:
    """Return a source whose paths on disk do not depend on where the service is started."""
    if isinstance(source, DirectorySourceConfig):
        return msgspec.structs.replace(source, path=str(folder / source.path))
    if isinstance(source, FirehoseSourceConfig) and source.tls is not None:
        tls = msgspec.structs.replace(
            source.tls,
            certificate=str(folder / source.tls.certificate),
            key=str(folder / source.tls.key),
        )
        return msgspec.structs.replace(source, tls=tls)
    return source


def _absolute_sink(sink: SinkConfig, folder: Path) -> SinkConfig:
    """Return a sink whose paths on disk do not depend on where the service is started."""
    if isinstance(sink, ArchiveSinkConfig) and not sink.is_in_s3:
        return msgspec.structs.replace(sink, path=str(folder / sink.path))
    if isinstance(sink, HTTPSink) and sink.ca_file is not None:
        return msgspec.structs.replace(sink, ca_file=str(folder / sink.ca_file))
    return sink


def _resolve(value: object, keys: list[Key], document: Document, folder: Path) -> object:
    """Replace references in every string below a value."""
    if isinstance(value, dict):
        return {key: _resolve(item, [*keys, key], document, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [
            _resolve(item, [*keys, index], document, folder) for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda found: _referred(found, document.place(keys), folder), value)


def _referred(reference: re.Match[str], place: Place, folder: Path) -> str:
    kind, name = reference.groups()
    if kind == "env":
        if name not in os.environ:
            raise ConfigError(
                f"the environment variable {name} is not set", place=place, remedy=f"set {name}"
            )
        return os.environ[name]
    try:
        return (folder / name).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"the file {name} cannot be read: {why}", place=place) from error


def _check_statuses(document: Document) -> None:
    """Refuse a status that is none; `convert` could not say of which rule it is."""
    statuses = document.data.get("rule_status") if isinstance(document.data, dict) else None
    known = get_args(Status)
    for rule_id, status in statuses.items() if isinstance(statuses, dict) else ():
        if status not in known:
            nearest = difflib.get_close_matches(str(status), known, n=1)
            meant = f"did you mean {nearest[0]}? " if nearest else ""
            raise ConfigError(
                f"rule_status.{rule_id} has a value that is not known",
                place=document.place(["rule_status", rule_id]),
                remedy=f"{meant}Known here: {', '.join(known)}",
            )


def _with_names(parts: tuple[P, ...], key: str, document: Document) -> tuple[P, ...]:
    """Give a part without a name that of its type, and refuse two of the same name."""
    named: dict[str, P] = {}
    for index, part in enumerate(parts):
        name = part.name or str(part.__struct_config__.tag)
        if name in named:
            raise ConfigError(
                f"two {key} have the name {name}",
                place=document.place([key, index]),
                remedy="give each a name of its own: its state is kept under that name",
            )
        named[name] = msgspec.structs.replace(part, name=name)
    return tuple(named.values())
