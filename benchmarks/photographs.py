"""What adaptation brings on real photographs: your folders, both networks, several seeds, every recipe.

    python benchmarks/photographs.py --day DAY --day-test DAY_TEST --night NIGHT --night-val NIGHT_VAL --out OUT

The folders are of the layout of docs/own_data.md; NIGHT is adapted to without labels, NIGHT_VAL is measured and no
training sees it. A network is trained on DAY as `dsrnss adapt` does it, and adapted by each recipe with the experiment
that `dsrnss adapt` would write. What is in --out is not run again; --table prints what is there.
"""

import argparse
import copy
import json
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from dsrnss import load_pretrained, save_pretrained
from dsrnss.automation import experiments
from dsrnss.automation.plan import NETWORKS, Plan, choose
from dsrnss.automation.sets import SetChoice, labelled_set, night_set
from dsrnss.data.base import SegmentationDataset
from dsrnss.data.loading import EvalView, collate
from dsrnss.experiment.cli import build
from dsrnss.metrics import Scores
from dsrnss.models.segmentor import Segmentor
from dsrnss.training.callbacks.best_network import BestNetwork
from dsrnss.training.evaluation import evaluate

Node = dict[str, Any]
OFF: Node = {"night_aware": {"probability": 0.0}}
AWARE: Node = {"night_aware": {"probability": 0.5}}
RECIPES: dict[str, Node] = {
    "dacs": OFF
    | {
        "memory_bank": {"size": 0},
        "mixing": {"co_occurrence": False},
        "prototypes": {"enabled": False},
        "feature_distance": {"weight": 0},
    },
    "dsrnss": OFF,
    "night-aware": AWARE,
    "mic": AWARE | {"masking": {"weight": 1.0}},
    "no priors": AWARE | {"priors": {"strength": 0.0}},
}
"""Recipe -> what it changes in the experiment of `dsrnss adapt`."""


def merged(node: Node, changes: Mapping[str, Any]) -> Node:
    """An experiment with some keys changed."""
    result = copy.deepcopy(node)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


class Bench:
    """The runs of a seed and a network.

    Args:
        args: As on the command line.
        name: Of the network.
        seed: Of all draws.
    """

    def __init__(self, args: argparse.Namespace, name: str, seed: int) -> None:
        self.args, self.name, self.seed, self.network = args, name, seed, NETWORKS[name]
        self.day, self.night = labelled_set(args.day), night_set(args.night)
        given = {"network": name, "device": args.device, "day_steps": args.day_steps, "steps": args.steps}
        self.plan: Plan = choose(self.day, self.night, given)[0]
        self.folder = args.out / f"{name}-{seed}"

    def run(self, recipes: list[str]) -> None:
        """Train by day and adapt by each recipe, whatever is not there yet."""
        day = self.folder / "day.safetensors"
        if not day.exists():
            network = self.fit("day", experiments.day_experiment(self.plan, self.network, self.day, self.seed))[0]
            save_pretrained(network, day, self.day.build().label_space)
        if not self.result("source-only").exists():
            self.score("source-only", load_pretrained(day).segmentor)
        if not self.result("adabn").exists():
            self.score("adabn", adapt_batch_norm(load_pretrained(day).segmentor, self.sized(self.night).build()))
        for recipe in recipes:
            if not self.result(recipe).exists():
                experiment = experiments.night_experiment(
                    self.plan, self.network, self.day, self.night, self.seed, str(day.absolute())
                )
                experiment = merged(experiment, {"model": RECIPES[recipe]})
                last, best = self.fit(recipe, experiment)
                checks = [[check.step, check.score] for check in best.checks] if best else []
                self.score(recipe, load_pretrained(best.kept).segmentor if best and best.kept else last, checks, last)

    def fit(self, name: str, experiment: Node) -> tuple[Segmentor, BestNetwork | None]:
        """Run an experiment: the network at its end, and what looked at it on the way."""
        file = experiments.write(experiment, self.folder / f"{name}.yaml")
        words = ["--trainer.default_root_dir", str(self.folder / "logs"), "--trainer.enable_model_summary", "false"]
        cli = build("fit", [file], words)
        cli.run()
        callbacks = cli.trainer.callbacks  # type: ignore[attr-defined]
        return cli.model.student, next((one for one in callbacks if isinstance(one, BestNetwork)), None)

    def sized(self, choice: SetChoice) -> SetChoice:
        """A set at the size that is trained on."""
        return choice.of_side(self.plan.size)

    def result(self, recipe: str) -> Path:
        """Where the numbers of a recipe are."""
        return self.folder / f"{recipe}.json"

    def score(self, recipe: str, network: Segmentor, checks: Any = (), last: Segmentor | None = None) -> None:
        """Measure a network by day and at night, at the size of the labels, and write it down."""
        sets = {"day": labelled_set(self.args.day_test), "night": labelled_set(self.args.night_val)}
        found = {key: self.measured(network, choice) for key, choice in sets.items()}
        row = {
            "network": self.name,
            "seed": self.seed,
            "recipe": recipe,
            "plan": self.plan.table(),
            **{key: scores.mean_iou for key, scores in found.items()},
            "right": {key: scores.pixel_accuracy for key, scores in found.items()},
            "iou": {key: scores.iou.tolist() for key, scores in found.items()},
            "checks": checks,
            "night at the end": None if last is None else self.measured(last, sets["night"]).mean_iou,
            "written": time.strftime("%Y-%m-%d"),
        }
        self.result(recipe).write_text(json.dumps(row, indent=1))
        print(
            f"{self.name} {self.seed} {recipe}: day {100 * row['day']:.1f}, night {100 * row['night']:.1f}", flush=True
        )

    def measured(self, network: Segmentor, choice: SetChoice) -> Scores:
        """The scores at the size of the labels."""
        network.eval()
        return evaluate(network, self.sized(choice.having(resize_label=False)).build(), 1)


@torch.no_grad()
def adapt_batch_norm(network: Segmentor, night: SegmentationDataset) -> Segmentor:
    """AdaBN, the control: batch norms take the statistics of the night, nothing is learned."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum, module.training = None, True
    view = EvalView(night)
    for index in range(len(night)):
        network(collate([view[index]])["image"])  # type: ignore[index]
    return network.eval()


def table(out: Path) -> str:
    """The means over the seeds, with their spread, as Markdown."""
    rows: dict[tuple[str, str], list[Node]] = {}
    for path in sorted(out.glob("*/*.json")):
        row = json.loads(path.read_text())
        rows.setdefault((row["network"], row["recipe"]), []).append(row)
    lines = ["| network | recipe | seeds | day | night | pixels right at night |", "|---|---|---|---|---|---|"]
    for network in NETWORKS:
        for recipe in ("source-only", "adabn", *RECIPES):
            found = rows.get((network, recipe))
            if found:
                cells = [spread([row[key] for row in found]) for key in ("day", "night")]
                cells.append(spread([row["right"]["night"] for row in found]))
                lines.append(f"| {network} | {recipe} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    each = "" if len(values) == 1 else f" ({', '.join(f'{100 * value:.1f}' for value in values)})"
    return f"{100 * mean(values):.1f}{each}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", help="labelled day pictures to train on")
    parser.add_argument("--day-test", help="labelled day pictures to score")
    parser.add_argument("--night", help="pictures to adapt to")
    parser.add_argument("--night-val", help="labelled night pictures to score")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["compact", "lite0"])
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=["dacs", "dsrnss", "night-aware", "mic"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--day-steps", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", choices=("cpu", "gpu"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/photographs"))
    parser.add_argument("--table", action="store_true", help="only print what is in --out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for seed in [] if args.table else args.seeds:
        for name in args.networks:
            Bench(args, name, seed).run(args.recipes)
    print(table(args.out))


if __name__ == "__main__":
    main()
