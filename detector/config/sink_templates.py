"""Whether the templates of sinks can tell every kind of alert."""

from __future__ import annotations

import time

from detector.config.sinks import TemplatesConfig
from detector.config.tree import Config
from detector.document import Document
from detector.errors import ConfigError


def check_templates(config: Config, document: Document) -> None:
    """Refuse a template that cannot be read, or not be filled in for every kind of alert.

    Raises:
        ConfigError: with its place.
    """
    for index, sink in enumerate(config.sinks):
        templates: TemplatesConfig | None = getattr(sink, "templates", None)
        for name in TemplatesConfig.__struct_fields__ if templates else ():
            source: str | None = getattr(templates, name)
            if source is None:
                continue
            try:
                _check(name, source, config)
            except ConfigError as error:
                raise ConfigError(
                    f"sink {sink.name}: {error.message}",
                    place=document.place(["sinks", index, "templates", name]),
                    remedy=error.remedy,
                ) from error


def _check(name: str, source: str, config: Config) -> None:
    # Most configurations have no templates, and Jinja takes a while to import.
    from detector.alerts.samples import samples  # noqa: PLC0415
    from detector.alerts.story import Reading, tell  # noqa: PLC0415
    from detector.alerts.templates import Templates  # noqa: PLC0415

    templates = Templates(**{"title": None, "text": None, name: source}, escape=str)
    reading = Reading(config.alerts.account_names, config.alerts.siem_link)
    for sample in samples(time.time()):
        try:
            story = tell(sample.alert, sample.kind, reading)
            templates.strict_title(sample.alert, story)
            templates.strict_text(sample.alert, story)
        except ConfigError as error:
            raise ConfigError(
                f"{error.message} (tried with {sample.what})", remedy=error.remedy
            ) from error
