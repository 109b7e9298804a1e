"""/metrics, /healthz and /readyz, on a port of their own.

They are served by the event loop that does the work: an answer shows that it still turns.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from detector.config import TelemetryConfig
from detector.errors import ConfigError


class TelemetryServer:
    """The HTTP server for Prometheus and the container's probes.

    `not_ready` returns why the service is not ready, or an empty list.
    """

    def __init__(
        self,
        config: TelemetryConfig,
        registry: CollectorRegistry,
        not_ready: Callable[[], list[str]],
    ) -> None:
        self._config = config
        self._registry = registry
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"telemetry cannot listen on {self._config.host}:{self._config.port}:"
                f" {error.strerror}",
                remedy="set telemetry.port to a free port, or to 0 for any",
            ) from error
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._not_ready()
        text = "".join(f"{reason}\n" for reason in reasons) or "ok\n"
        return web.Response(text=text, status=503 if reasons else 200)
