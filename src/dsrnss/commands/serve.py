"""`dsrnss serve`: a web page and an HTTP interface for a network."""

import argparse
import ipaddress
import os
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import add_import, add_which, import_modules, path, whole_number
from dsrnss.console import notice
from dsrnss.errors import ConfigError, UsageError
from dsrnss.paths import expanded

if TYPE_CHECKING:
    from dsrnss.serving.guard import Access

AUTH_VARIABLE = "DSRNSS_AUTH"
_DESCRIPTION = """\
Serve a web page that segments pictures and short videos, and the same as JSON (docs/serve.md). It answers only this
machine unless --host says otherwise, asks nothing outside, and keeps nothing that it is given. Ctrl-C ends it."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser("serve", help="web page and HTTP interface", description=_DESCRIPTION)
    parser.add_argument(
        "--model", type=path, metavar="MODEL", help="as of `dsrnss segment --model` (default: the packaged demo model)"
    )
    add_which(parser)
    add_import(parser)
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    network = parser.add_argument_group("who may ask")
    network.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default: 127.0.0.1)")
    network.add_argument("--port", type=_port, default=7860, metavar="N", help="0: any that is free (default: 7860)")
    network.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help=f"ask for them; better @FILE, a file that holds them, or the variable ${AUTH_VARIABLE}: other users of "
        "this machine see command lines",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-pixels", type=whole_number(256), default=25_000_000, metavar="N", help="of a picture (default: 25000000)"
    )
    limits.add_argument(
        "--max-upload-mb", type=whole_number(1), default=32, metavar="N", help="of an upload (default: 32)"
    )
    limits.add_argument(
        "--max-frames", type=whole_number(1), default=900, metavar="N", help="of a video (default: 900)"
    )
    limits.add_argument(
        "--queue",
        type=whole_number(0),
        default=8,
        metavar="N",
        help="requests that may wait (default: 8)",
    )
    limits.add_argument(
        "--timeout", type=whole_number(1), default=120, metavar="S", help="seconds for a request (default: 120)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        ConfigError: If gradio is missing, or the address cannot be had.
        UsageError: If --auth is no name and password.
        CheckpointError: If the model cannot be read.
        HardwareError: If there is no such device.
    """
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.serving.limits import MEGABYTE, Limits
    from dsrnss.serving.server import bind, check_library, serve, serving_folder
    from dsrnss.serving.work import Service

    access = _access(args.auth, args.host)
    with serving_folder() as folder, bind(args.host, args.port) as listening:
        check_library()
        import_modules(args.imports)
        segmenter = Segmenter.from_pretrained(args.model, which=args.which, device=args.device)
        model = "packaged demo model, which has seen only synthetic scenes" if args.model is None else args.model.name
        limits = Limits(args.max_pixels, args.max_upload_mb * MEGABYTE, args.max_frames, args.timeout, args.queue)
        serve(Service(segmenter, limits, folder, model), access, listening, _tell)
    print("Stopped.")
    return 0


def _tell(address: str) -> None:
    print(f"Serving at {address}   (Ctrl-C ends it)", flush=True)


def _port(text: str) -> int:
    number = whole_number(0)(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, not '{text}'")
    return number


def _access(auth: str | None, host: str) -> "Access":
    """Who may ask, by the option, the file that it names, or the environment."""
    from dsrnss.serving.guard import Access

    local = _is_loopback(host)
    said = auth or os.environ.get(AUTH_VARIABLE)
    if not said:
        if not local:
            notice(f"everybody who reaches {host} may use this server: --auth asks for a password.")
        return Access(local=local)
    if said.startswith("@"):
        try:
            said = expanded(said[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--auth: '{said[1:]}' cannot be read: {getattr(error, 'strerror', error)}.") from error
    elif auth:
        notice(f"other users of this machine see the password: --auth @FILE, or ${AUTH_VARIABLE}, hides it.")
    user, colon, password = said.partition(":")
    if not (user and colon and password):
        raise UsageError("--auth: expected USER:PASSWORD, or @FILE with a file that holds it.")
    return Access(user, password, local)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
