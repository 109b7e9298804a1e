"""Servers that tests start on free ports of 127.0.0.1, and stop by their own process id."""
