"""A story as plain text, for e-mail and for whatever else shows text as it is."""

from __future__ import annotations

from collections.abc import Iterator

from detector.alerts.story import Story


def story_text(story: Story) -> str:
    """Return what a story says below its headline: the summary, rows, the runbook, links."""
    return "\n".join(_lines(story))


def _lines(story: Story) -> Iterator[str]:
    yield story.summary
    yield ""
    width = max((len(row.label) for row in story.rows), default=0)
    for label, value in story.rows:
        yield f"{label:<{width}}  {value}"
    if story.runbook:
        yield from ("", "What to do first:", story.runbook)
    if story.links:
        yield ""
    for link in story.links:
        yield f"{link.text}: {link.href}"


def cut_bytes(text: str, most: int) -> str:
    """Return at most so many bytes of a text in UTF-8; the last sign says that there were more."""
    content = text.encode()
    if len(content) <= most:
        return text
    return content[: most - len("…".encode())].decode(errors="ignore") + "…"
