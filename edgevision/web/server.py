"""Serves page, metrics and pictures over HTTP, for reading only. In: a function that gives a NodeView. Out: answers. Keeps a thread.

On loopback it answers only those who call it by a loopback name, so that no web page elsewhere can read it through a browser.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgevision.errors import Unavailable
from edgevision.web.metrics import metrics_text, registry_of
from edgevision.web.page import now_html, page_html, status_json
from edgevision.web.view import NodeView, WebSettings

log = logging.getLogger("edgevision")

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
LATEST = "latest"  # a link to the newest picture
PICTURE = re.compile(r"[A-Za-z0-9_-]{1,96}\.(jpg|png)|latest")
CAMERA = re.compile(r"[a-z0-9_-]{1,32}")
STATIC = ("page.css", "page.js")
CONNECTIONS = 32
HEAD_BYTES = 16_384
START_S, STOP_S = 5.0, 2.0
HEAD = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)

Look = Callable[[], NodeView]


class Server:
    """The page of one node. `start` once, `stop` once."""

    def __init__(self, settings: WebSettings, look: Look, pictures: Path):
        """`pictures` is the folder with a folder of pictures for each camera."""
        self.settings = settings
        self._app = application(look, pictures, is_local=settings.host in LOOPBACK)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Raises Unavailable when the port is taken."""
        listener = _listen(self.settings)
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", limit_concurrency=CONNECTIONS, timeout_keep_alive=5,
            server_header=False, ws="none", http="h11", h11_max_incomplete_event_size=HEAD_BYTES, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_S)


class WithHead:
    """Adds our header lines to every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def send_with_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name for name, _ in given}
                message["headers"] = [*given, *(line for line in HEAD if line[0] not in names)]
            await send(message)

        await self.app(scope, receive, send_with_head)


def application(look: Look, pictures: Path, is_local: bool) -> Starlette:
    """What is answered to which path."""
    registry = registry_of(look)

    async def page(request: Request) -> Response:
        return HTMLResponse(page_html(look(), _newest(pictures)))

    async def now(request: Request) -> Response:
        return HTMLResponse(now_html(look(), _newest(pictures)))

    async def status(request: Request) -> Response:
        return JSONResponse(status_json(look()))

    async def metrics(request: Request) -> Response:
        return Response(metrics_text(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("not found\n", 404)
        return FileResponse(str(files("edgevision.web").joinpath("static", name)))

    async def picture(request: Request) -> Response:
        camera, name = request.path_params["camera"], request.path_params["name"]
        folder = (pictures / camera).resolve()
        path = (folder / name).resolve()
        if not (CAMERA.fullmatch(camera) and PICTURE.fullmatch(name) and path.parent == folder and path.is_file()):
            return PlainTextResponse("not found\n", 404)
        return FileResponse(path, headers={} if name == LATEST else {"cache-control": "max-age=86400, immutable"})

    routes = [
        Route("/", page), Route("/now", now), Route("/status.json", status), Route("/metrics", metrics),
        Route("/static/{name}", static), Route("/pictures/{camera}/{name}", picture),
    ]  # fmt: skip
    guards = [Middleware(WithHead), *([Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))] if is_local else [])]
    return Starlette(routes=routes, middleware=guards, exception_handlers={Exception: _failed})


async def _failed(request: Request, error: Exception) -> Response:
    """A disk that cannot be read just now costs an answer, nothing else."""
    if not isinstance(error, Unavailable):
        log.error("page: %s: %s: %s", request.url.path, type(error).__name__, error)
    return PlainTextResponse(f"{error}\n", 503)


def _newest(folder: Path) -> dict[str, str]:
    """Each camera's newest picture that is still there."""
    found = {}
    try:
        for entry in os.scandir(folder):
            with suppress(OSError):
                name = os.readlink(os.path.join(entry.path, LATEST))
                if PICTURE.fullmatch(name) and os.path.exists(os.path.join(entry.path, name)):
                    found[entry.name] = name
    except OSError:
        return {}
    return found


def _listen(settings: WebSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(CONNECTIONS)
    except OSError as error:
        listener.close()
        where = f"page {settings.host}:{settings.port}"
        raise Unavailable(f"{where}: {error.strerror}; set web.port to a free one, or web.enabled to false") from error
    return listener
