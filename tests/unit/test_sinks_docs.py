"""What the documents on sinks show is what can be configured."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from detector.config import AlertmanagerSinkConfig, SecurityHubSinkConfig, SinkConfig, SNSSinkConfig
from detector.config import Sink as AnySink

DOCS = Path(__file__).parent.parent.parent / "docs" / "sinks"


def examples_in(name: str) -> list[SinkConfig]:
    """Return the sinks of a document's examples."""
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    return [
        sink
        for block in blocks
        for sink in msgspec.convert(yaml.safe_load(block)["sinks"], list[SinkConfig])
    ]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("aws.md", [SNSSinkConfig, SNSSinkConfig, SecurityHubSinkConfig]),
        ("alertmanager.md", [AlertmanagerSinkConfig]),
    ],
)
def test_examples_can_be_read(name: str, kinds: list[type[AnySink]]) -> None:
    assert [type(sink) for sink in examples_in(name)] == kinds


@pytest.mark.parametrize("name", ["aws.md", "alertmanager.md"])
def test_no_key_of_its_own_is_left_out(name: str) -> None:
    text = (DOCS / name).read_text()
    for sink in examples_in(name):
        own = set(type(sink).__struct_fields__) - set(AnySink.__struct_fields__)
        # Said of all HTTP sinks in one place.
        for field in own - {"timeout_seconds", "ca_file"}:
            assert f"{field}:" in text or f"`{field}" in text, field
