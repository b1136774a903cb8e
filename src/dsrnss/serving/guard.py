"""What stands before the page and the interface: who may ask, for what, and how much may be sent.

gradio answers on many addresses that this page does not use, among them some that fetch other addresses or serve files:
only the ones listed here are reached.
"""

import asyncio
import base64
import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dsrnss.errors import RefusedError
from dsrnss.serving.limits import Limits, megabytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOAD, JOIN = "/gradio_api/upload", "/gradio_api/queue/join"
_READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(?:assets|static)/[\w./%@+-]+"
    r"|/gradio_api/(?:info|theme\.css|startup-events|app_id|heartbeat/\w+|queue/data)"
    r"|/api/(?:model|health)"
)
_WRITTEN = re.compile(rf"{UPLOAD}|{JOIN}|/gradio_api/(?:cancel|reset)|/api/(?:segment|video|scene)")
_LARGE = re.compile(rf"{UPLOAD}|/api/(?:segment|video)")
_SMALL_BYTES = 100_000
"""Of a request that carries no file."""
_FORM_BYTES = 20_000
"""What a form adds to the files in it."""
_DRAINED = 16
"""An upload that is refused is read up to so many times its limit, thrown away: browsers show no answer before."""
_CSP = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        user: Name, None: no password is asked for.
        password: Of that user.
        local: Bound to this machine only, so that other host names are no visitor's.
    """

    user: str | None = None
    password: str = ""
    local: bool = True

    def check(self, method: str, headers: MutableMapping[str, str]) -> None:
        """Judge a request by its method and headers.

        Raises:
            RefusedError: If it may not be answered.
        """
        host = headers.get("host", "")
        if self.local and not _is_local(host):  # a page elsewhere whose name was made to lead here (DNS rebinding)
            raise RefusedError("This server answers only as 'localhost' or by its number.", 403)
        elsewhere = headers.get("origin", f"//{host}").partition("//")[2] != host
        if method == "POST" and (elsewhere or headers.get("sec-fetch-site") in ("cross-site", "same-site")):
            raise RefusedError("Pages of other servers may not ask this one.", 403)
        if self.user is not None and not self._knows(headers.get("authorization", "")):
            raise RefusedError("Name and password are needed.", 401)

    def _knows(self, said: str) -> bool:
        kind, _, given = said.partition(" ")
        try:
            found = base64.b64decode(given, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            return False
        return hmac.compare_digest(found, f"{self.user}:{self.password}".encode())


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """An ASGI application around another one.

    Args:
        app: What answers what is let through.
        limits: What is taken.
        access: Who may ask.
        folder: In which the page's uploads lie, as gradio sees it.
    """

    def __init__(self, app: App, limits: Limits, access: Access, folder: Path) -> None:
        self._app, self._limits, self._access, self._folder = app, limits, access, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        body = _Body(receive, self._limits.seconds)
        answer = _Answer(send, body)
        try:
            self._check(scope, body)
            if scope["path"] == JOIN:
                await self._check_join(body)
        except RefusedError as refusal:
            await self._refuse(scope, body, send, refusal)
            return
        try:
            await self._app(scope, body, answer)
        except Exception:
            if body.refused is None:
                raise
        if body.refused is not None and not answer.started:
            await self._refuse(scope, body, send, body.refused)

    def _check(self, scope: Scope, body: "_Body") -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        self._access.check(scope["method"], headers)
        known = _READ if method in ("GET", "HEAD") else _WRITTEN if method == "POST" else None
        if known is None or not known.fullmatch(path) or ".." in path:
            raise RefusedError(f"There is no {method} {path[:80]} here.", 404)
        body.most = _SMALL_BYTES
        if method == "POST" and _LARGE.fullmatch(path):
            files = 2 if path == "/api/segment" else 1
            body.most = files * self._limits.max_bytes + _FORM_BYTES
            body.refusal = f"An upload may have {megabytes(self._limits.max_bytes)} MB at most: this one is larger."
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > body.most:
            raise RefusedError(body.refusal, 413)

    async def _check_join(self, body: "_Body") -> None:
        """Let the page name only files that were uploaded: gradio also takes addresses, and files of this machine."""
        content = await body.whole()
        try:
            paths = _paths(json.loads(content))
        except (ValueError, RecursionError) as error:
            raise RefusedError("This is no request of the page.", 400) from error
        for path in paths:
            if not isinstance(path, str) or not Path(path).resolve().is_relative_to(self._folder):
                raise RefusedError("A request may name only files that were uploaded.", 400)

    async def _refuse(self, scope: Scope, body: "_Body", send: Send, refusal: RefusedError) -> None:
        """Say why; what is still being sent is read and thrown away, else the reason would not arrive."""
        if scope["path"].startswith("/api/"):
            kind, content = "application/json", json.dumps({"error": str(refusal)}).encode()
        else:
            kind, content = "text/plain; charset=utf-8", str(refusal).encode()
        headers = {**_HEADERS, "content-type": kind, "content-length": str(len(content)), "cache-control": "no-store"}
        if refusal.status == 401:
            headers["www-authenticate"] = 'Basic realm="dsrnss", charset="UTF-8"'
        if refusal.status == 503:
            headers["retry-after"] = "30"
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await send({"type": "http.response.body", "body": content, "more_body": True})
        if refusal.status != 401:
            await body.drain()
        await send({"type": "http.response.body", "body": b""})


class _Answer:
    """Adds the headers that keep a browser from asking elsewhere; drops what is said of a body that is refused."""

    def __init__(self, send: Send, body: "_Body") -> None:
        self._send, self._body, self.started = send, body, False

    async def __call__(self, message: Message) -> None:
        if self._body.refused is not None and not self.started:
            return
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [
                *message.get("headers", []),
                *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
            ]
        await self._send(message)


class _Body:
    """What a visitor sends, up to a number of bytes and within a time."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive, self._end = receive, asyncio.get_running_loop().time() + seconds
        self._read, self._done = 0, False
        self._kept: list[Message] = []
        self.most, self.refusal = 0, "This request is too large."
        self.refused: RefusedError | None = None

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            RefusedError: If it is too much, or takes too long.
        """
        if self._kept:
            return self._kept.pop(0)
        if self._done:  # now only whether the visitor leaves is waited for
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._end - asyncio.get_running_loop().time())
        except asyncio.TimeoutError as error:
            self.refused = RefusedError("The upload took too long.", 408)
            raise self.refused from error
        self._read += len(message.get("body", b""))
        self._done = not message.get("more_body", False)
        if self._read > self.most:
            self.refused = RefusedError(self.refusal, 413)
            raise self.refused
        return message

    async def whole(self) -> bytes:
        """All of it; it can be read once more."""
        messages = [await self()]
        while messages[-1].get("more_body"):
            messages.append(await self())
        self._kept = messages
        return b"".join(message.get("body", b"") for message in messages)

    async def drain(self) -> None:
        """Read what still comes, and throw it away."""
        most, loop = self._read + _DRAINED * max(self.most, _SMALL_BYTES), asyncio.get_running_loop()
        while not self._done and self._read < most and loop.time() < self._end:
            try:
                message = await asyncio.wait_for(self._receive(), self._end - loop.time())
            except asyncio.TimeoutError:
                return
            self._read += len(message.get("body", b""))
            self._done = not message.get("more_body", False)


def _paths(value: Any) -> list[Any]:
    """Everything in a JSON value that names a file or an address."""
    if isinstance(value, list):
        return [path for one in value for path in _paths(one)]
    if not isinstance(value, dict):
        return []
    own = [value["path"]] if "path" in value else []
    if value.get("url") is not None and "path" not in value:
        own.append(value["url"])
    return own + _paths([*value.values()])
