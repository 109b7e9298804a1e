"""Prometheus Alertmanager, API v2."""

from detector.sinks.alertmanager.sink import AlertmanagerSink

__all__ = ["AlertmanagerSink"]
