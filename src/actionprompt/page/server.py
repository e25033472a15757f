"""The server: made of its parts, started, and stopped without leaving anything behind."""

import asyncio
import os
import socket
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from actionprompt import __version__, files
from actionprompt.page.guard import Guard
from actionprompt.page.jobs import Jobs
from actionprompt.page.models import Shelf
from actionprompt.page.process import Bounds, Failed, Worker
from actionprompt.page.refusals import refusals
from actionprompt.page.routes import STATIC, router
from actionprompt.page.service import Service
from actionprompt.page.settings import Settings
from actionprompt.page.videos import Disk, temporary_folder

ABOUT = "Recognise human actions in video, say when what happens, and teach new actions from a few clips."
START_S = 600.0
"""Within which the backbone has to be loaded."""
MEMORY_SHARE = 0.75
"""Of the computer's memory that a job may take, unless told otherwise."""


def serve(settings: Settings, *, started: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted; `started` is called with its address when it can be opened.

    Raises:
        ValueError: the backbone or the model cannot be loaded, or the address cannot be listened on.
    """
    with _listen(settings) as listening, temporary_folder() as root:
        asyncio.run(_serve(settings, listening, root, started))


async def _serve(settings: Settings, listening: socket.socket, root: Path, started: Callable[[str], None]) -> None:
    port = listening.getsockname()[1]
    settings.models.mkdir(parents=True, exist_ok=True)
    memory_bytes = int(
        settings.max_memory_gb * 1e9 if settings.max_memory_gb else MEMORY_SHARE * psutil.virtual_memory().total
    )
    disk = Disk(root, settings.quota_bytes)
    jobs = Jobs(
        root / "jobs", disk, max_queue=settings.max_queue, max_jobs=settings.max_jobs,
        seconds=60 * settings.max_minutes, memory_bytes=memory_bytes,
    )  # fmt: skip
    told = await _describe(jobs.workers["model"], settings, root, memory_bytes)
    for line in told["notices"]:
        warnings.warn(line, files.Notice, stacklevel=2)
    shelf = Shelf(settings.models, settings.model, told)
    shelf.sweep()
    service = Service(settings, root, disk, jobs, shelf, memory_bytes)
    config = uvicorn.Config(
        create_app(service, port), log_level="error", access_log=False, server_header=False, lifespan="on",
        timeout_keep_alive=30, timeout_graceful_shutdown=2, ws="none", h11_max_incomplete_event_size=1 << 16,
    )  # fmt: skip
    server = _Server(config, lambda: started(address(settings, port)), jobs.close)
    await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it has started, and when it is about to stop."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._stopping = ready, stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


async def _describe(worker: Worker, settings: Settings, root: Path, memory_bytes: int) -> dict[str, Any]:
    """What `work` says of the backbone and the given model, which it keeps in memory."""
    model = str(settings.model) if settings.model is not None else None
    task = {"do": "describe", "backbone": settings.backbone, "model": model, "folder": str(root)}
    try:
        return await worker.do(task, Bounds(START_S, memory_bytes))
    except Failed as error:
        await worker.stop()
        raise ValueError(str(error)) from None


def create_app(service: Service, port: int) -> ASGIApp:
    """The application behind its guard."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(service.jobs.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, service.prober.stop(), return_exceptions=True)

    app = FastAPI(
        title="ActionPrompt", description=ABOUT, version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        servers=[{"url": address(replace(service.settings, token=None), port).rstrip("/")}],
        exception_handlers=refusals(),
    )  # fmt: skip
    app.include_router(router(service, app.openapi))
    app.mount("/static", StaticFiles(directory=STATIC))
    return Guard(app, service.settings, port)


def address(settings: Settings, port: int) -> str:
    """Where a browser of this computer opens the page."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    token = f"?token={settings.token}" if settings.token else ""
    return f"http://{host}:{port}/{token}"


def _listen(settings: Settings) -> socket.socket:
    """A socket on the address of the settings."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if os.name != "nt":  # there it would let two servers share a port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
        return listening
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{settings.host} port {settings.port} cannot be listened on ({why}); give another --port or --host"
        ) from None
