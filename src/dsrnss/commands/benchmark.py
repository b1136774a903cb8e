"""`dsrnss benchmark`: what an experiment costs on this machine, stage by stage."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from dsrnss.commands.arguments import Parser, whole_number
from dsrnss.errors import UsageError, did_you_mean

_OVERRIDES = """
Every key of an experiment file is an option, as with `dsrnss fit`: --trainer.accelerator gpu,
--trainer.precision 16-mixed, --data.crop_size '[512, 512]'. Weights are random: they do not change
what a step costs."""
_TRAIN = """\
Time and peak memory of each stage of a training step on this machine; beside them what is counted without running
anything: operations, memory, and where the host waits for a GPU. Where the data sets are not there, pictures are made
up. --dry-run only counts: what a GPU would need that is not here."""
_INFER = """\
Time, peak memory and operations of segmenting a picture, in the windows that the experiment tests and predicts with.
Where its sets are not there, pictures are made up."""
_DATA = """\
Pictures a second that the experiment's loaders and workers give, and where a sample's time goes: reading and decoding,
choosing the crop, and augmentation. Needs the data sets."""
_ALIGN = """\
Pairs a second of the experiment's aligner: crops, as in each step, and whole pictures, as `dsrnss data align` stores
them. Where its target is not there, pairs are drawn."""
_KINDS = {
    "train": ("a training step", _TRAIN, 5, 2),
    "infer": ("segmenting a picture", _INFER, 5, 1),
    "data": ("loading pictures", _DATA, 20, 2),
    "align": ("aligning pairs", _ALIGN, 5, 1),
}
_GIB, _TERA = 2**30, 1e12
_RESTS = {"step": "other", "picture": "other", "sample": "augmentation"}
"""What the part of a whole is called that is in none of its stages."""


class _ExperimentParser(Parser):
    """Keeps the words that it does not know: they are for the experiment."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and put what is left over into `overrides`.

        Raises:
            UsageError: If a word of it is no key of an experiment.
        """
        known, unknown = argparse.ArgumentParser.parse_known_args(self, args, namespace)
        options = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        for word in (word.partition("=")[0] for word in unknown if word.startswith("-")):
            if word.startswith("--") and "." not in word and word != "--seed_everything":
                raise UsageError(f"{self.prog}: unknown option '{word}'.{did_you_mean(word, options)}")
        known.overrides = unknown
        return known, []


def add_parser(commands: Any) -> None:
    """Add the command and its subcommands to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "benchmark",
        help="measure what an experiment costs on this machine",
        description="Measure what an experiment costs on this machine.",
    )
    kinds = parser.add_subparsers(
        title="commands", dest="kind", metavar="COMMAND", required=True, parser_class=_ExperimentParser
    )
    for name, (title, description, steps, warm_up) in _KINDS.items():
        _add_kind(kinds.add_parser(name, help=title, description=description + "\n" + _OVERRIDES), name, steps, warm_up)


def _add_kind(parser: argparse.ArgumentParser, name: str, steps: int, warm_up: int) -> None:
    unit = {"train": "steps", "infer": "pictures", "data": "batches", "align": "pairs"}[name]
    parser.usage = f"dsrnss benchmark {name} --config FILE [options] [--KEY VALUE ...]"
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        required=True,
        metavar="FILE",
        help="the experiment: a file, or the name of a packaged one; may be repeated, later files win",
    )
    count = whole_number(1)
    parser.add_argument("--steps", type=count, default=steps, metavar="N", help=f"measured {unit} (default: {steps})")
    parser.add_argument(
        "--warm-up",
        type=whole_number(0),
        default=warm_up,
        metavar="N",
        help=f"{unit} before them that do not count (default: {warm_up})",
    )
    if name != "data":
        parser.add_argument("--made-up", action="store_true", help="take made-up pictures even if the sets are there")
    if name in ("infer", "align"):
        parser.add_argument(
            "--size", type=count, nargs=2, metavar=("H", "W"), help="pixels of made-up pictures (default: 1080 1920)"
        )
    if name in ("train", "infer"):
        parser.add_argument("--dry-run", action="store_true", help="count operations and memory, run nothing")
    parser.add_argument("--json", metavar="FILE|-", help="also write all numbers; - prints them instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, and tell.

    Raises:
        UsageError: If the experiment cannot be read, or has not what is measured.
        DatasetNotFoundError: If loading shall be measured and the data sets are not there.
        HardwareError: If the device does not exist or its memory does not suffice.
        OutputError: If the file cannot be written.
    """
    from dsrnss.experiment import files as experiments
    from dsrnss.writing import prepare_file, write_atomically

    configs = [experiments.resolve(name) for name in args.config]
    for config in configs:
        experiments.read(config)
    if args.json not in (None, "-"):
        prepare_file(args.json)
    from dsrnss.commands.arguments import look_in_current_folder
    from dsrnss.experiment.failures import typed_failures
    from dsrnss.measuring.benchmark import BENCHMARKS, Request

    look_in_current_folder()
    size = getattr(args, "size", None)
    flags = {name: getattr(args, name, False) for name in ("made_up", "dry_run")}
    request = Request(
        configs, args.overrides, args.steps, args.warm_up, size=None if size is None else (size[0], size[1]), **flags
    )
    with typed_failures(lambda: None):
        found = BENCHMARKS[args.kind](request)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    if args.json == "-":
        print(text)
        return 0
    _print(found)
    if args.json is not None:
        write_atomically(args.json, (text + "\n").encode())
    return 0


def _print(found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from dsrnss.commands.tables import wide_console

    console = wide_console()
    for line in _heading(found):
        console.print(Text(line))
    for title, stages in (found.get("samples") or {"": found.get("stages", {})}).items():
        console.print(Text(f"{title}\n" if title else ""))
        console.print(_table(stages, found["whole"]))
    for line in _ending(found):
        console.print(Text(line))


def _heading(found: Mapping[str, Any]) -> list[str]:
    height, width = found["crop_size"]
    batch = " + ".join(f"{number} {name}" for name, number in found["batch"].items())
    lines = [f"{found['experiment']}: {found['network']}"]
    if found["benchmark"] == "infer":
        picture = found["picture"]
        windows = f", windows of {' x '.join(map(str, picture['window']))}" if picture["window"] else ""
        lines.append(f"a picture of {' x '.join(map(str, picture['size']))}{windows}, {found['precision']}")
    else:
        lines.append(f"{batch} crops of {height} x {width}, {found['precision']}")
    if "device" in found:
        where = f"{found['device']}, {found['threads']} CPU threads"
        lines.append(f"{where}; pictures {found['pictures']}; mean of {found['steps']} after {found['warm_up']}")
    return lines


def _table(stages: Mapping[str, Mapping[str, float]], whole: str) -> Any:
    from dsrnss.commands.tables import plain_table

    stages = _with_rest(stages, whole)
    total = stages.get(whole, {}).get("seconds", 0.0)
    columns = {
        "seconds": lambda cost, own: f"{cost[own + 'seconds']:.3f}",
        "share": lambda cost, own: f"{cost[own + 'seconds'] / total:.0%}" if total else "",
        "peak GiB": lambda cost, own: f"{cost['peak_bytes'] / _GIB:.2f}",
        "10^12 operations": lambda cost, own: f"{cost[own + 'operations'] / _TERA:.3g}",
        "counted GiB": lambda cost, own: f"{cost['counted_bytes'] / _GIB:.2f}",
    }
    table = plain_table("stage")
    shown = {
        title: {name: _cell(of, cost, name == whole) for name, cost in stages.items()} for title, of in columns.items()
    }
    shown = {title: cells for title, cells in shown.items() if any(cells.values())}
    for title in shown:
        table.add_column(title, justify="right")
    for name in stages:
        table.add_row(name, *(cells[name] for cells in shown.values()), style="bold" if name == whole else None)
    return table


def _with_rest(stages: Mapping[str, Mapping[str, float]], whole: str) -> dict[str, Mapping[str, float]]:
    """The parts, what lies between them, and the whole."""
    found = {name: cost for name, cost in stages.items() if name != whole}
    if whole not in stages:
        return found
    rest = {key: value for key, value in stages[whole].items() if key.startswith("own_")}
    return {**found, _RESTS[whole]: rest, whole: stages[whole]}


def _cell(text_of: Any, cost: Mapping[str, float], whole: bool) -> str:
    """What a cell shows; of a part what it takes itself, without what lies inside it."""
    try:
        return str(text_of(cost, "" if whole else "own_"))
    except KeyError:  # measured alone, or counted alone
        return ""


def _ending(found: Mapping[str, Any]) -> list[str]:
    lines = [""]
    if "pictures_a_second" in found:
        lines.append(f"{found['pictures_a_second']:.3g} pictures a second")
    lines += [f"{rate:.3g} pairs a second: {name}" for name, rate in found.get("pairs_a_second", {}).items()]
    if found["benchmark"] == "data":
        lines.append(f"with {found['workers']} workers a loader, source and target together; above: one process alone")
    if "counted" in found:
        waits = found["counted"]["waits"]
        lines.append(f"waits for a GPU in a step: {sum(waits.values())}")
        lines += [f"  {number} x {line}" for line, number in waits.items()]
        lines.append(f"weights, gradients and moments: {found['counted']['kept_bytes'] / _GIB:.2f} GiB")
    if any("counted_bytes" in cost for cost in found.get("stages", {}).values()):
        lines.append("Counted: multiplications and additions of convolutions, matrix products and attention; bytes of")
        lines.append("tensors, without what kernels need for themselves and what an allocator wastes.")
    return lines
