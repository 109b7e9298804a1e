"""`python -m detector`."""

from detector.cli import entry_point

entry_point()
