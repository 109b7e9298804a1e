"""What only the whole configuration tells of sinks: those named are there, and may be reached."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from detector.config.sinks import AlertmanagerSinkConfig, HTTPSink, SinkConfig
from detector.config.tree import Config
from detector.document import Document, Key
from detector.errors import ConfigError
from detector.sinks.egress import Egress, is_address


def check_sinks(config: Config, document: Document) -> None:
    """Refuse sinks that are named and not there, fallbacks in a circle, forbidden addresses.

    Raises:
        ConfigError: with its place.
    """
    _check_names(config, document)
    _check_fallbacks(config, document)
    _check_addresses(config, document)


def _check_names(config: Config, document: Document) -> None:
    known = [sink.name for sink in config.sinks]
    for keys, named in _named(config):
        if named not in known:
            nearest = difflib.get_close_matches(named, known, n=1)
            meant = f"did you mean {nearest[0]}? " if nearest else ""
            raise ConfigError(
                f"there is no sink of the name {named}",
                place=document.place(keys),
                remedy=f"{meant}Known here: {', '.join(known)}",
            )


def _check_fallbacks(config: Config, document: Document) -> None:
    fallbacks = {sink.name: sink.fallback for sink in config.sinks}
    for index, sink in enumerate(config.sinks):
        seen = {sink.name}
        name = sink.fallback
        while name is not None:
            if name in seen:
                raise ConfigError(
                    f"the fallback of the sink {sink.name} leads back to {name}",
                    place=document.place(["sinks", index, "fallback"]),
                    remedy="name a sink that does not depend on this one",
                )
            seen.add(name)
            name = fallbacks[name]


def _check_addresses(config: Config, document: Document) -> None:
    """Refuse addresses that the egress rule is known to forbid: names are looked at when used."""
    egress = Egress(config.egress.allow)
    for index, sink in enumerate(config.sinks):
        for keys, url in _urls(sink):
            host = urlsplit(url).hostname or ""
            if is_address(host) and not egress.permits(host):
                raise ConfigError(
                    f"{host} is no public address",
                    place=document.place(["sinks", index, *keys]),
                    remedy="add its network to egress.allow if it is meant",
                )


def _urls(sink: SinkConfig) -> Iterator[tuple[Sequence[Key], str]]:
    if isinstance(sink, AlertmanagerSinkConfig):
        for index, url in enumerate(sink.urls):
            yield ["urls", index], url
    elif isinstance(sink, HTTPSink):
        yield ["url"], getattr(sink, "url", "")


def _named(config: Config) -> Iterator[tuple[Sequence[Key], str]]:
    for index, sink in enumerate(config.sinks):
        if sink.fallback is not None:
            yield ["sinks", index, "fallback"], sink.fallback
    for place, route in enumerate(config.routing.routes):
        for index, name in enumerate(route.sinks):
            yield ["routing", "routes", place, "sinks", index], name
    for index, name in enumerate(config.routing.default or ()):
        yield ["routing", "default", index], name
