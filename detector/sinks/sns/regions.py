"""What CloudWatch calls a region in its messages."""

from __future__ import annotations

from functools import cache

from botocore.loaders import Loader


def region_name(region: str) -> str:
    """Return a region's display name, like `US East (N. Virginia)`; its code where none is known.

    CloudWatch still says EU where AWS's own lists say Europe by now.
    """
    name = _names().get(region, region)
    return name.replace("Europe (", "EU (", 1) if name.startswith("Europe (") else name


@cache
def _names() -> dict[str, str]:
    """Return the names in botocore's endpoint data."""
    data = Loader().load_data("endpoints")
    return {
        code: region["description"]
        for partition in data["partitions"]
        for code, region in partition["regions"].items()
    }
