"""`dsrnss completion`: what a shell needs to complete the commands and options of `dsrnss`."""

import argparse
import re
from collections.abc import Iterator
from typing import Any

from dsrnss.commands import experiment
from dsrnss.commands.arguments import Parser, path
from dsrnss.optional import optional

SHELLS = ("bash", "zsh", "fish")
_EPILOG = """\
bash   echo 'source <(dsrnss completion bash)' >> ~/.bashrc
zsh    dsrnss completion zsh > "${fpath[1]}/_dsrnss"
fish   dsrnss completion fish > ~/.config/fish/completions/dsrnss.fish"""
_FOLDERS = ("DIR", "FOLDER", "NIGHT", "DAY", "ROOT")
_FILES = ("FILE", "CSV", "MODEL", "CKPT", "CONFIG", "SOURCE", "RUN", "PATH", "OUT")
"""What arguments are called that are folders and files."""
_OPTION = re.compile(r"^  (?:-c, )?(--[\w.]+)(?: ([A-Z][\w|]*))?", re.MULTILINE)


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete commands and options",
        description="Print a script for bash, zsh or fish, by which the Tab key completes commands, options and files.",
        epilog=_EPILOG,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script.

    Raises:
        ConfigError: If shtab is not installed.
    """
    from dsrnss.cli import build_parser

    print(script(build_parser(), args.shell))
    return 0


def script(parser: Parser, shell: str) -> str:
    """What a shell reads.

    Args:
        parser: Of the whole command line.
        shell: One of `SHELLS`.

    Raises:
        ConfigError: If shtab is not installed.
    """
    shtab = optional("shtab", "Completion needs shtab", "shtab")
    for one in _parsers(parser):
        name = one.prog.rpartition(" ")[2]
        if name in experiment.COMMANDS:
            _add_usual_options(one, name)
        for action in one._actions:
            kind = _kind(action)
            if kind and action.choices is None and not hasattr(action, "complete"):
                action.complete = getattr(shtab, kind)  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _parsers(below)


def _add_usual_options(parser: argparse.ArgumentParser, command: str) -> None:
    """The options that the help of an experiment's command names; its own parser would need torch."""
    for option, metavar in _OPTION.findall(experiment.help_text(command)):
        flag: dict[str, Any] = {"metavar": metavar} if metavar else {"action": "store_true"}
        action = parser.add_argument(*(["-c"] if option == "--config" else []), option, **flag)
        if option == "--config":
            action.complete = _experiments()  # type: ignore[attr-defined]


def _experiments() -> dict[str, Any]:
    """Files, and the names of packaged experiments, in the words of shtab."""
    from dsrnss.experiment.files import packaged_names

    names = " ".join(packaged_names())
    return {
        "bash": "_dsrnss_experiments",
        "zsh": f"{{_files; compadd -- {names}}}",
        "fish": f"(__fish_complete_path (commandline -ct); string split ' ' '{names}')",
        "preamble": {"bash": f'_dsrnss_experiments() {{ compgen -f -- "$1"; compgen -W "{names}" -- "$1"; }}'},
    }


def _kind(action: argparse.Action) -> str:
    """Whether an argument is a file or a folder, in the words of shtab; empty: neither."""
    name = str(action.metavar or "").split("[")[0].split("|")[0]
    if name in _FOLDERS:
        return "DIRECTORY"
    return "FILE" if name in _FILES or action.type is path else ""
