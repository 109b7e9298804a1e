"""Pictures of what chats show, made again: `python -m tests.make_pictures`, with Chromium and
pngquant.

Takes the very messages that the sinks send, and draws each as its service does. Writes
`docs/sinks/pictures/`, and the messages into `docs/sinks/chat.md`.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.sample_messages import messages

PICTURES = REPOSITORY / "docs" / "sinks" / "pictures"
DOCUMENT = REPOSITORY / "docs" / "sinks" / "chat.md"

WIDTH = 680

_PAGE = """<!doctype html><meta charset="utf-8"><style>
* {{ box-sizing: border-box }}
body {{ margin: 0; padding: 14px; width: {width}px; background: #fff; color: #1d1c1d;
  font: 15px/1.46 "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere }}
a {{ color: #1264a3; text-decoration: none }}
{style}
</style>{body}<script>document.title = document.documentElement.offsetHeight</script>"""

_SLACK = """
.app { font-weight: bold } .app i { font: 10px sans-serif; background: #ddd; padding: 1px 4px }
h1 { font-size: 18px; margin: 8px 0 } p { margin: 6px 0; white-space: pre-wrap }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 16px; margin: 8px 0 }
hr { border: 0; border-top: 1px solid #ddd; margin: 10px 0 }
.context { color: #616061; font-size: 13px; margin: 8px 0 }
"""
_TEAMS = """
body { background: #f5f5f5 } .card { background: #fff; border: 1px solid #d1d1d1; padding: 16px;
  border-radius: 4px; font-size: 14px } .top { margin: -16px -16px 10px; padding: 12px 16px }
.attention { background: #fdf3f4 } .warning { background: #fff9f0 } .accent { background: #ebf3fc }
.emphasis { background: #f5f5f5 } .good { background: #f1faf1 }
p { margin: 8px 0 } .small { margin: 3px 0 } .large { font-size: 20px } b { font-weight: bold }
.subtle { color: #616161; font-size: 12px } .line { border-top: 1px solid #e0e0e0;
  padding-top: 8px } .action { display: inline-block; border: 1px solid #d1d1d1;
  margin: 8px 8px 0 0; border-radius: 4px; padding: 5px 12px; font-weight: bold; color: #242424 }
"""
_PAGERDUTY = """
.status { background: #c9190b; color: #fff; font-weight: bold; padding: 3px 8px; font-size: 12px }
h1 { font-size: 18px; margin: 10px 0 } table { border-collapse: collapse; width: 100%;
  font-size: 13px } td { border-top: 1px solid #e5e5e5; padding: 5px 8px; vertical-align: top }
td:first-child { color: #555; width: 110px } h2 { font-size: 14px; margin: 14px 0 4px }
pre { margin: 0; font: 11px/1.3 "DejaVu Sans Mono", monospace; white-space: pre-wrap }
"""


def slack(message: Any) -> str:
    """Return a message as a page."""
    return "<div class=app>Detector <i>APP</i></div>" + "".join(map(_block, message["blocks"]))


def teams(message: Any) -> str:
    """Return a card as a page."""
    card = message["attachments"][0]["content"]
    actions = "".join(
        f"<span class=action>{html.escape(action['title'])}</span>"
        for action in card.get("actions", [])
    )
    return f"<div class=card>{''.join(map(_element, card['body']))}{actions}</div>"


def pagerduty(message: Any) -> str:
    """Return an incident as a page: what the lists show, and the details below it."""
    payload = message["payload"]
    fields = ("severity", "source", "component", "group", "class", "timestamp")
    rows = [(name, payload[name]) for name in fields if name in payload]
    links = " · ".join(f"<a>{html.escape(link['text'])}</a>" for link in message.get("links", []))
    details = payload["custom_details"].items()
    return (
        f"<span class=status>TRIGGERED</span><h1>{html.escape(payload['summary'])}</h1>{links}"
        f"{_table(rows)}<h2>Custom details</h2>{_table(details)}"
    )


def _block(block: Any) -> str:
    if block["type"] == "divider":
        return "<hr>"
    if block["type"] == "header":
        return f"<h1>{_slack_text(block['text'])}</h1>"
    if block["type"] == "context":
        return f"<div class=context>{'<br>'.join(map(_slack_text, block['elements']))}</div>"
    if "fields" in block:
        fields = "".join(f"<div>{_slack_text(field)}</div>" for field in block["fields"])
        return f"<div class=fields>{fields}</div>"
    return f"<p>{_slack_text(block['text'])}</p>"


def _slack_text(text: Any) -> str:
    shown: str = text["text"].replace("\u200b", "")
    if text["type"] == "mrkdwn":
        shown = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", r"<a>\2</a>", shown)
        shown = re.sub(r"\*([^*]+)\*", r"<b>\1</b>", shown)
    return shown


def _element(element: Any) -> str:
    if element["type"] == "Container":
        return (
            f"<div class='top {element['style']}'>{''.join(map(_element, element['items']))}</div>"
        )
    runs = "".join(map(_run, element["inlines"]))
    classes = ["small" if element.get("spacing") == "Small" else ""]
    classes.append("line" if element.get("separator") else "")
    return f"<p class='{' '.join(classes)}'>{runs}</p>"


def _run(run: Any) -> str:
    classes = [
        "large" if run.get("size") == "Large" else "",
        "subtle" if run.get("isSubtle") else "",
    ]
    tag = "b" if run.get("weight") == "Bolder" else "span"
    return f"<{tag} class='{' '.join(classes)}'>{html.escape(run['text'])}</{tag}>"


def _table(rows: Any) -> str:
    return f"<table>{''.join(_rows(rows))}</table>"


def _rows(rows: Any) -> Iterator[str]:
    for name, value in rows:
        if isinstance(value, str):
            shown = html.escape(value)
        else:
            text = json.dumps(value, indent=1, ensure_ascii=False).split("\n")
            more = ["…"] if len(text) > MAX_LINES else []
            shown = f"<pre>{html.escape(chr(10).join(text[:MAX_LINES] + more))}</pre>"
        yield f"<tr><td>{html.escape(name)}</td><td>{shown}</td></tr>"


MAX_LINES = 12
"""Of a value within the details, which PagerDuty folds too."""

STYLES = {"slack": _SLACK, "teams": _TEAMS, "pagerduty": _PAGERDUTY}
BODIES = {"slack": slack, "teams": teams, "pagerduty": pagerduty}


def draw(name: str, message: Any, picture: Path, chromium: str) -> None:
    """Draw one message."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(_PAGE.format(width=WIDTH, style=STYLES[name], body=BODIES[name](message)))
        common = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        common.append(f"--user-data-dir={folder}/profile")
        dump = subprocess.run(
            [*common, "--dump-dom", page.as_uri()], capture_output=True, check=True, text=True
        )
        found = re.search(r"<title>(\d+)</title>", dump.stdout)
        assert found
        size = f"--window-size={WIDTH},{found[1]}"
        subprocess.run(
            [*common, size, f"--screenshot={picture}", page.as_uri()],
            capture_output=True,
            check=True,
        )
    if pngquant := shutil.which("pngquant"):
        # As many colours as letters and a few signs need: half the size.
        subprocess.run([pngquant, "--force", "--output", picture, "48", picture], check=True)


def shown(document: str) -> str:
    """Return a document with the messages of today in it."""
    for name, message in messages().items():
        start = f"<!-- {name} -->\n```json\n"
        before, _, rest = document.partition(start)
        _, end, after = rest.partition("\n```")
        text = json.dumps(message, indent=1, ensure_ascii=False)
        document = f"{before}{start}{text}{end}{after}"
    return document


def main() -> None:
    """Write everything."""
    DOCUMENT.write_text(shown(DOCUMENT.read_text()))
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("chromium is missing: the pictures are as they were")
    PICTURES.mkdir(exist_ok=True)
    for name, message in messages().items():
        draw(name, message, PICTURES / f"{name}.png", chromium)
    draw("slack", messages("resolved")["slack"], PICTURES / "slack-resolved.png", chromium)


if __name__ == "__main__":
    main()
