"""`dsrnss data align`: flow from each night picture to its day reference, computed once and stored."""

import argparse
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.console import counted, next_step
from dsrnss.errors import UsageError
from dsrnss.progress import counting

if TYPE_CHECKING:
    from dsrnss.data import AlignedPairs

_HOME = "dsrnss.adaptation.alignment"
_STORING = ("AlignedPairs", "dsrnss.data.AlignedPairs")
_NOT_STORED = ("GivenAligner", "IdentityAligner", "ClassicalAligner")
ALIGNERS: dict[str, Any] = {
    "classical": f"{_HOME}.classical.align_pair",
    "uawarpc": {"class_path": f"{_HOME}.PairwiseAligner", "init_args": {"aligner": f"{_HOME}.UAWarpCAligner"}},
}
"""As experiment files write them."""


def add_parser(kinds: Any) -> None:
    """Add `align` to the subparsers of `dsrnss data`."""
    parser = kinds.add_parser(
        "align",
        help="compute the flow between night pictures and day references once, and store it",
        description="Align every night picture with its day reference at full size, and store flow and confidence.\n"
        "What is stored stays: an interrupted run goes on where it stopped. Experiments whose target is a\n"
        "data.AlignedPairs train with it; for others, --overlay writes the keys that make them do so.",
    )
    parser.add_argument(
        "target",
        metavar="CONFIG|NAME|FOLDER",
        nargs="+",
        help="experiment files (their target is aligned), a data set below $DATA_DIR, or a folder with references",
    )
    parser.add_argument(
        "--aligner",
        choices=(*ALIGNERS,),
        metavar="NAME",
        help="classical or uawarpc (default: that of the experiment; classical)",
    )
    parser.add_argument("--store", type=path, metavar="DIR", help="folder of the flows (default: the cache folder)")
    parser.add_argument(
        "--overlay", type=path, metavar="FILE", help="write an experiment file that trains with the stored flow"
    )
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a core)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Align the pairs of some sets.

    Raises:
        UsageError: If there are none, or no experiment for an overlay.
    """
    from dsrnss.commands.data.targets import is_experiment
    from dsrnss.writing import prepare_file

    experiment = is_experiment(*args.target)
    if args.overlay and not experiment:
        raise UsageError("--overlay: only an experiment file can be continued by another one.")
    if args.overlay:
        prepare_file(args.overlay)
    for name, pairs in (_of_experiment(args) if experiment else _of_folder(args)).items():
        pairs.verify()
        with counting(f"pairs of {name} aligned") as progress:
            new = pairs.fill_store(args.workers, progress)
        print(f"{name}: {counted(len(pairs), 'pair')}, {new:,} aligned now, {len(pairs) - new:,} there before.")
        if pairs.flow_store is not None:
            files, size = pairs.flow_store.size()
            print(f"Store: {pairs.flow_store.folder} ({counted(files, 'flow')}, {size / 1e6:.1f} MB)")
    configs = [word for name in (*args.target, *filter(None, [args.overlay])) for word in ("--config", name)]
    next_step(["dsrnss", "fit", *configs] if experiment else ["dsrnss", "data", "show", args.target[0]])
    return 0


def _of_experiment(args: argparse.Namespace) -> dict[str, "AlignedPairs"]:
    """The target of an experiment; the overlay is written on the way."""
    import yaml

    from dsrnss.commands.data.targets import built_data, merged_content
    from dsrnss.data import AlignedPairs
    from dsrnss.experiment import files
    from dsrnss.paths import expanded
    from dsrnss.writing import write_atomically

    paths = [files.resolve(str(expanded(name))) for name in args.target]
    content, title = merged_content(*paths), " ".join(map(files.short_name, paths))
    if not (content.get("data") or {}).get("target"):
        raise UsageError(f"{title}: an experiment without data.target has no pairs to align.")
    content["data"] = {**content["data"], "target": _stored_target(args, content)}
    target = built_data(title, content).target
    if not isinstance(target, AlignedPairs):
        raise UsageError(f"{title}: its target is no data.AlignedPairs.")
    if args.overlay:
        overlay = {"model": {"aligner": f"{_HOME}.GivenAligner"}, "data": {"target": content["data"]["target"]}}
        write_atomically(args.overlay, yaml.safe_dump(overlay, sort_keys=False, allow_unicode=True).encode())
    return {"target": target}


def _stored_target(args: argparse.Namespace, content: dict[str, Any]) -> dict[str, Any]:
    """The key `data.target` of an experiment, wrapped in `AlignedPairs` if it is not yet."""
    target = content["data"]["target"]
    if isinstance(target, dict) and target.get("class_path") in _STORING:
        wrapped = target.get("init_args", {})
    else:
        aligner = (content.get("model") or {}).get("aligner") or "GivenAligner"
        class_path = aligner.get("class_path", "") if isinstance(aligner, dict) else aligner
        known = class_path.rpartition(".")[2] in _NOT_STORED
        pairwise = {"class_path": f"{_HOME}.PairwiseAligner", "init_args": {"aligner": aligner}}
        wrapped = {"dataset": target, "aligner": ALIGNERS["classical"] if known else pairwise}
    chosen = {"aligner": ALIGNERS.get(args.aligner), "store": str(args.store.absolute()) if args.store else None}
    return {"class_path": _STORING[-1], "init_args": {**wrapped, **{k: v for k, v in chosen.items() if v}}}


def _of_folder(args: argparse.Namespace) -> dict[str, "AlignedPairs"]:
    """The sets of a folder that have references."""
    from dsrnss.adaptation.alignment import PairwiseAligner, UAWarpCAligner
    from dsrnss.adaptation.alignment.classical import align_pair
    from dsrnss.commands.data.targets import resolve
    from dsrnss.data import AlignedPairs
    from dsrnss.data.alignment_store import CACHE

    target = resolve(args.target[0], references=True)
    sets = {name: dataset for name, dataset in target.sets.items() if dataset.references}
    if not sets:
        raise UsageError(f"'{target.title}' has no set with day references to align.")
    aligner = PairwiseAligner(UAWarpCAligner()) if args.aligner == "uawarpc" else align_pair
    return {name: AlignedPairs(one, aligner, store=args.store or CACHE) for name, one in sets.items()}
