"""The `dsrnss` command: reads the command line, runs one command and turns errors into messages and exit codes.

Exit codes: 0 done, 1 something the user can mend, 2 a wrong command line, 70 a bug, 130 interrupted.
"""

import codecs
import locale
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dsrnss import __version__, console
from dsrnss.commands import adapt, benchmark, completion, demo, doctor, experiment, export, report, serve, weights
from dsrnss.commands.arguments import Parser, run_parser
from dsrnss.commands.data import group as data
from dsrnss.commands.segment import command as segment
from dsrnss.errors import DsrnssError, OutputError, UsageError, did_you_mean
from dsrnss.writing import why_not_written

_DESCRIPTION = """\
Semantic segmentation of night scenes, learned from labelled day scenes and unlabelled night scenes.

  dsrnss demo                                   see the whole method work, no download needed
  dsrnss segment PHOTO.jpg --out out            segment your own photographs
  dsrnss adapt DAY NIGHT --out run              adapt to your own night pictures, from your labelled day pictures
  dsrnss fit --config synthnight/adapt.yaml     train from an experiment file
  dsrnss doctor                                 tell what is missing here, and how to get it"""

_OF_MEMORY = re.compile(
    "allocate memory|out of memory|failed to map segment|create a primitive|can't start new thread", re.IGNORECASE
)
_OPTIONS = ("--help", "--version", "--debug", "-h")
_EPILOG = "Every command has its own --help. --debug, anywhere, shows the traceback of an error."


def build_parser() -> Parser:
    """The parser of the whole command line, without importing what the commands need."""
    parser = Parser(prog="dsrnss", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"dsrnss {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    demo.add_parser(commands)
    adapt.add_parser(commands)
    segment.add_parser(commands)
    export.add_parser(commands)
    serve.add_parser(commands)
    for name, title in experiment.COMMANDS.items():
        commands.add_parser(name, help=title, add_help=False)
    report.add_parser(commands)
    data.add_parser(commands)
    weights.add_parser(commands)
    benchmark.add_parser(commands)
    doctor.add_parser(commands)
    completion.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The words behind `dsrnss`; None takes those of this process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with console.showing_log():
            try:
                code = _dispatch(words)
            except SystemExit as stop:  # argparse has shown its help
                code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        _flush()
    except KeyboardInterrupt:
        console.notice("interrupted.")
        return 130
    except BrokenPipeError:
        _silence()  # whoever read our output has left
        return 141
    except Exception as error:
        if debug:
            raise
        try:
            return _report(error, words)
        except Exception:  # too little for a message
            os.write(sys.stderr.fileno(), b"error: Out of memory.\n")
            return 1
    return code


def _flush() -> None:
    """Write out what stands in the buffer of stdout, while an error of it can still be told.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence()
        raise OutputError(f"Cannot write to standard output: {why_not_written(error)}") from error


def _silence() -> None:
    """Let the interpreter's last flush of stdout fail at nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    if not words:
        build_parser().print_help()
        return 2
    if words[0] in experiment.COMMANDS:
        return experiment.run(words[0], words[1:])
    parser = build_parser()
    if words[0].startswith("-") and words[0] not in _OPTIONS:
        raise UsageError(f"dsrnss: unknown option '{words[0]}'.{did_you_mean(words[0], _OPTIONS)}")
    return run_parser(parser, words)


def _report(error: Exception, words: Sequence[str]) -> int:
    if isinstance(error, DsrnssError):
        console.error(str(error))
        return 2 if isinstance(error, UsageError) else 1
    if isinstance(error, OSError) and error.strerror:
        name = f": '{error.filename}'" if error.filename else ""
        console.error(f"{error.strerror}{name}.")
        return 1
    if (limit := _limit(error)) is not None:
        console.error(limit)
        return 1
    console.error(
        f"internal error: {type(error).__name__}: {error}\n"
        f"This is a bug in dsrnss. Run `dsrnss {' '.join(words)} --debug` for the traceback, and report both."
    )
    return 70


def _limit(error: Exception) -> str | None:
    """What to say of a limit of this machine, None: the error is none."""
    said = str(error)
    if isinstance(error, UnicodeEncodeError):
        return (
            f"A name holds '{error.object[error.start : error.end]}', which the encoding of this system's locale "
            f"({error.encoding}) has not: set PYTHONUTF8=1."
        )
    of_memory = isinstance(error, (ImportError, RuntimeError)) and _OF_MEMORY.search(said)
    if isinstance(error, MemoryError) or of_memory or _at_memory_limit():
        return (
            f"Out of memory ({said or 'the system gives no more'}): close other programs, raise the limit "
            "(`ulimit -v`), or take less at a time."
        )
    return None


def _in_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding, in which libraries open files."""
    encoding = codecs.lookup(locale.getpreferredencoding(False)).name
    if os.name == "posix" and not sys.flags.utf8_mode and encoding != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "dsrnss", *sys.argv[1:]])


def _at_memory_limit() -> bool:
    """Whether this process has nearly all of the memory that `ulimit -v` allows: libraries then fail in any way."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return limit != resource.RLIM_INFINITY and pages * resource.getpagesize() > 0.95 * limit
    except (ImportError, OSError):  # another system
        return False


def entry_point() -> NoReturn:
    """What the installed `dsrnss` script calls."""
    console.open_streams()
    _in_utf8()
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
