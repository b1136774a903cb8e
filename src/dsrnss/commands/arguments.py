"""An argument parser whose errors help: unknown words are answered with the nearest known one."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dsrnss.errors import CheckpointError, UsageError, did_you_mean
from dsrnss.paths import expanded


class Parser(argparse.ArgumentParser):
    """`argparse` that raises `UsageError` instead of printing its usage and leaving."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise the message.

        Raises:
            UsageError: Always.
        """
        missing = "the following arguments are required: "
        if message.startswith(missing):
            message = f"Missing: {message.removeprefix(missing)}."
        message = message.removeprefix("argument ")
        raise UsageError(f"{message}\nUsage: {' '.join(self.format_usage().split()[1:])}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and refuse what is left over.

        argparse reports leftovers in the outermost parser, which does not know the options of the command.

        Raises:
            UsageError: If an argument is not known.
        """
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            if word.startswith("-"):
                options = [option for action in self._actions for option in action.option_strings]
                long = [option for option in options if option.startswith("--")]
                raise UsageError(f"{self.prog}: unknown option '{word}'.{did_you_mean(word, long)}")
            raise UsageError(f"{self.prog}: unexpected argument '{word}'.")
        return known, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = action.metavar or action.dest
            known = did_you_mean(str(value), [str(choice) for choice in action.choices])
            name = f"{action.option_strings[-1]}: " if action.option_strings else ""
            raise UsageError(f"{self.prog}: {name}unknown {str(what).lower()} '{value}'.{known}")


def whole_number(least: int) -> Callable[[str], int]:
    """An argument type: a whole number that is not below `least`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, not '{text}'")
        return number

    return parse


def path(text: str) -> Path:
    """An argument type: a path, whose `~` means the home folder even where no shell expands it, as in `--out=~/out`.

    Raises:
        argparse.ArgumentTypeError: If it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, not an empty word")
    return expanded(text)


def add_which(parser: argparse.ArgumentParser) -> None:
    """Add `--which`, for checkpoints that have two networks."""
    parser.add_argument(
        "--which",
        choices=("student", "teacher"),
        default="student",
        metavar="NETWORK",
        help="of a checkpoint that has both, the student or the teacher, its moving average (default: student)",
    )


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add `--import`, for models made of classes of the user's own."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="first import a module of your own (also from the current folder) whose backbone or head the model "
        "names; may be repeated",
    )


def import_modules(names: Sequence[str]) -> None:
    """Import what `--import` names.

    Raises:
        ConfigError: If there is no such module, or it fails when it is imported.
    """
    if names:
        from dsrnss.models.class_path import import_named

        look_in_current_folder()
        for name in names:
            import_named(name)


def import_words(names: Iterable[str]) -> list[str]:
    """The words of a command line that import modules."""
    return [word for name in names for word in ("--import", name)]


def look_in_current_folder() -> None:
    """Find modules of the user's in the current folder, after all that are installed."""
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)


def as_options(message: str, *arguments: str) -> str:
    """Say the options of a command where a message of the library names arguments.

    Args:
        message: What the library says.
        arguments: As they stand there: `max_megapixels`, or `recursive=True`.
    """
    for argument in arguments:
        message = message.replace(argument, f"--{argument.removesuffix('=True').replace('_', '-')}")
    return message


def run_parser(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Parse and call what the chosen subparser set as `run`.

    Returns:
        The exit code.
    """
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
    except CheckpointError as error:
        if not hasattr(args, "imports"):
            raise
        raise CheckpointError(str(error).replace("`import ", "`--import ")) from error
    return code
