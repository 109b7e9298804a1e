"""Whether the sinks that are named elsewhere are there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from detector.config.tree import Config
from detector.document import Document, Key
from detector.errors import ConfigError


def check_sinks(config: Config, document: Document) -> None:
    """Refuse routes and fallbacks that name a sink which is not there, or lead in a circle.

    Raises:
        ConfigError: with its place.
    """
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


def _named(config: Config) -> Iterator[tuple[Sequence[Key], str]]:
    for index, sink in enumerate(config.sinks):
        if sink.fallback is not None:
            yield ["sinks", index, "fallback"], sink.fallback
    for place, route in enumerate(config.routing.routes):
        for index, name in enumerate(route.sinks):
            yield ["routing", "routes", place, "sinks", index], name
    for index, name in enumerate(config.routing.default or ()):
        yield ["routing", "default", index], name
