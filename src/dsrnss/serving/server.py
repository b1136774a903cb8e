"""The server as a whole: page and interface behind the guard, on a socket, until Ctrl-C."""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dsrnss.errors import ConfigError
from dsrnss.optional import optional
from dsrnss.serving.guard import Access, App, Guard
from dsrnss.serving.work import Service

_NEEDED, _INSTALL = "The web page needs gradio", "'dsrnss[serve]'"
_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_SSR_MODE": "False"}
_FOLDER_VARIABLES = ("GRADIO_TEMP_DIR", "MPLCONFIGDIR")
"""Where gradio, and Matplotlib, which it imports, make folders."""
_LAST_SECONDS = 2
"""That open connections have at the end."""


_MOST_CONNECTIONS = 256
"""An open page holds one or two."""


def check_library() -> None:
    """See that gradio is there, before a model is loaded; none of it asks or tells anything outside.

    Raises:
        ConfigError: If it is not.
    """
    os.environ.update(_QUIET)
    optional("gradio", _NEEDED, _INSTALL)


@contextmanager
def serving_folder() -> Iterator[Path]:
    """A folder for gradio and for videos, readable by nobody else, that is gone at the end, also by SIGTERM.

    It is to be there before gradio is imported, which makes a folder in the system's else.
    """

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    handler, before = signal.signal(signal.SIGTERM, end), {name: os.environ.get(name) for name in _FOLDER_VARIABLES}
    try:
        with tempfile.TemporaryDirectory(prefix="dsrnss-serve-", ignore_cleanup_errors=True) as folder:
            os.environ.update(dict.fromkeys(_FOLDER_VARIABLES, folder))
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def build_app(service: Service, access: Access) -> App:
    """Page and interface as one ASGI application.

    Args:
        service: What answers; its folder is that of `serving_folder`.
        access: Who may ask.
    """
    import gradio as gr
    from fastapi import FastAPI

    from dsrnss.serving.api import routes
    from dsrnss.serving.page import TEMPLATES, build_page, theme

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=[*routes(service)])
    mounted = gr.mount_gradio_app(
        app,
        build_page(service),
        path="/",
        footer_links=[],
        run_history=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        show_error=False,
        max_file_size=service.limits.max_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme(),
        css_paths=[TEMPLATES / "page.css"],
    )
    return Guard(mounted, service.limits, access, service.folder)


def bind(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        ConfigError: If it cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"Cannot listen on {host}, port {port}: {said}. Give another --host or --port; --port 0 takes a free one."
        ) from error


def serve(service: Service, access: Access, listening: socket.socket, ready: Callable[[str], None]) -> None:
    """Answer until Ctrl-C or SIGTERM.

    Args:
        service: What answers; its folder is that of `serving_folder`.
        access: Who may ask.
        listening: Of `bind`.
        ready: Called with the address once all is built.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            service.desk.close(wait=False)  # else requests that wait would hold up the end
            await super().shutdown(sockets)

    host, port = listening.getsockname()[:2]
    try:
        config = uvicorn.Config(
            build_app(service, access),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_LAST_SECONDS,
            h11_max_incomplete_event_size=64_000,
        )
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        service.desk.close()
