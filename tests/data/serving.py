"""A server on this machine that does what servers do: it cuts, redirects, lies about lengths, wants a login."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = b"<!DOCTYPE html><html><form>Sign in</form></html>"


@dataclass
class Behaviour:
    """How it behaves.

    Attributes:
        folder: What it serves, below /; anything below /moved/ is redirected there.
        cuts: So many of the first answers end after `cut_after` bytes.
        cut_after: See there.
        told: Factor of the lengths that it tells.
        login: `page`: sends everybody to a page; `refused`: answers 401.
        asked: (method, path, range) of each request.
    """

    folder: Path
    cuts: int = 0
    cut_after: int = 500
    told: float = 1.0
    login: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serve inside the block; gives the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            behaviour.asked.append((self.command, self.path, asked))
            if self.path == "/login":
                self.reply(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
            elif behaviour.login:
                code, place = (302, {"Location": "/login"}) if behaviour.login == "page" else (401, {})
                self.reply(code, b"", place)
            elif self.path.startswith("/moved/"):
                self.reply(302, b"", {"Location": self.path.removeprefix("/moved")})
            else:
                self.file(behaviour.folder / self.path[1:], asked)

        def file(self, path: Path, asked: str | None) -> None:
            content, tag = path.read_bytes(), f'"{path.stat().st_mtime_ns}"'
            start = int(asked[6:-1]) if asked and self.headers.get("If-Range", tag) == tag else 0
            headers = {"ETag": tag}
            if start >= len(content):
                self.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.reply(206 if start else 200, content[start:], headers, told=behaviour.told)

        def reply(self, code: int, body: bytes, headers: dict[str, str], told: float = 1.0) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(int(len(body) * told)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if behaviour.cuts and body and code in (200, 206):
                behaviour.cuts -= 1
                body = body[: behaviour.cut_after]
            with contextlib.suppress(ConnectionError):  # whoever asked has left
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()
