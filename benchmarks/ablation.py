"""What each part of the method brings on SynthNight: all arms at one budget, several seeds, as Markdown tables.

    python benchmarks/ablation.py --seeds 0 1 2 --out runs/ablation

Arms begin with the packaged source network. HRDA's begin with that network trained on by day as HRDA; the control
`DSRNSS, longer source` with it trained on as long without HRDA. Scenes are the same for all arms and seeds; the seed
draws the training. An arm whose result is in --out is not run again, so that processes may share the work (--only).
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dsrnss.data import AlignedPairs, SegmentationDataset, SynthNight
from dsrnss.experiment.cli import ExperimentCLI, build
from dsrnss.labels import CITYSCAPES
from dsrnss.metrics import Scores
from dsrnss.models.weights import save_pretrained
from dsrnss.training.evaluation import evaluate

BASE = "synthnight/adapt.yaml"
IDENTITY, CLASSICAL, TRUE = "identity", "classical", "true"
OFF = {
    "refinement.enabled": "false",
    "mixing.co_occurrence": "false",
    "memory_bank.size": "0",
    "feature_distance.weight": "0",
    "prototypes.enabled": "false",
}
REFINE = {"refinement.enabled": "true"}
COOCCUR = {**REFINE, "mixing.co_occurrence": "true"}
BANK = {**COOCCUR, "memory_bank.size": "1"}
DISTANCE = {**BANK, "feature_distance.weight": "0.005"}
FULL = {**DISTANCE, "prototypes.enabled": "true"}
HRDA = {"network.hrda": "true"}
TILES = {"self_training.teacher_detail": "tiles"}
NIGHT_TILES = {"self_training.teacher_detail": "night_tiles"}
NIGHT_AWARE = {"night_aware.method": "fda", "night_aware.beta": "0.02", "night_aware.probability": "0.5"}
START = {"optimizer.lr": "5e-4"}
"""The source network is trained: only the scale attention has everything to learn."""


@dataclass(frozen=True)
class Arm:
    """One row: its switches of the model, and where the flow to the reference comes from."""

    name: str
    switches: dict[str, str]
    flow: str = CLASSICAL
    start: str = "demo"


ARMS = (
    Arm("DACS", {}),
    Arm("+ refinement, identity", REFINE, IDENTITY),
    Arm("+ refinement, true flow", REFINE, TRUE),
    Arm("+ refinement, classical aligner", REFINE),
    Arm("+ co-occurrence", COOCCUR),
    Arm("+ memory bank", BANK),
    Arm("+ feature distance", DISTANCE),
    Arm("+ prototypes (DSRNSS)", FULL),
    Arm("DSRNSS, the paper's bank", {**FULL, "memory_bank.size": "3", "memory_bank.interval": "5"}),
    Arm("DSRNSS, tail weights", {**FULL, "prototypes.class_weights": "tail"}),
    Arm("DSRNSS + MIC", {**FULL, "masking.weight": "1"}),
    Arm("DSRNSS, night-aware", {**FULL, **NIGHT_AWARE}),
    Arm("DSRNSS, night-aware + MIC", {**FULL, **NIGHT_AWARE, "masking.weight": "1"}),
    Arm("DSRNSS, HRDA", {**FULL, **HRDA}, start="hrda"),
    Arm("DSRNSS, HRDA, teacher's tiles", {**FULL, **HRDA, **TILES}, start="hrda"),
    Arm("DSRNSS, HRDA, teacher's night tiles", {**FULL, **HRDA, **NIGHT_TILES}, start="hrda"),
    Arm("DSRNSS, longer source", FULL, start="longer"),
)
ORACLE = "oracle (labelled night)"
SOURCES = {"demo": "source-only", "longer": "source-only, longer", "hrda": "source-only, HRDA"}


class Scenes:
    """The scenes of all arms and seeds, kept in memory."""

    def __init__(self) -> None:
        base = build("fit", [BASE], ["--trainer.logger=false"]).datamodule
        self.source, self.night = base.source, base.test["night"]
        self.targets: dict[str, SegmentationDataset] = {CLASSICAL: base.target, IDENTITY: base.target}
        scenes = dict(split="target", length=len(base.target), labelled=True, cache=True)
        self.targets[TRUE] = SynthNight(**scenes, flow="true")  # type: ignore[arg-type]


class Bench:
    """The arms of one seed.

    Args:
        scenes: What they train and are measured on.
        seed: Of the training.
        steps: Of each arm.
        out: Where results are kept.
    """

    def __init__(self, scenes: Scenes, seed: int, steps: int, out: Path) -> None:
        self.scenes, self.seed, self.steps, self.out = scenes, seed, steps, out / f"seed{seed}"
        self.out.mkdir(parents=True, exist_ok=True)

    def build(self, config: str, **switches: str) -> ExperimentCLI:
        """An experiment with the budget of all arms and some switches of the model."""
        words = {
            "trainer.max_steps": self.steps,
            "trainer.logger": "false",
            "trainer.enable_progress_bar": "false",
            "trainer.enable_checkpointing": "false",
            "trainer.enable_model_summary": "false",
            "trainer.limit_val_batches": 0,
            "trainer.num_sanity_val_steps": 0,
            "seed_everything": self.seed,
            "model.weights": "random",
            "data.source_batch_size": 2,
            "data.target_batch_size": 2,
            "data.crop_size": "[128, 256]",
        } | {f"model.{key}": value for key, value in switches.items()}
        return build("fit", [config], [f"--{key}={value}" for key, value in words.items()])

    def arm(self, arm: Arm) -> Scores:
        """Adapt, and measure on the night test scenes."""
        switches = {**OFF, **arm.switches, "prototypes.start_step": str(self.steps // 5)}
        if arm.flow == IDENTITY:
            switches["aligner"] = "dsrnss.adaptation.alignment.IdentityAligner"
        experiment = self.build(BASE, **switches)
        experiment.datamodule.target = self.scenes.targets[arm.flow]
        experiment.model.load_weights(self.start(arm.start))
        return self.fit(experiment)

    def fit(self, experiment: ExperimentCLI) -> Scores:
        """Train an experiment on the shared scenes and measure it."""
        if experiment.datamodule.target is not None:
            experiment.datamodule.source = self.scenes.source
        experiment.trainer.fit(experiment.model, datamodule=experiment.datamodule)
        return evaluate(experiment.model.evaluated, self.scenes.night)

    def start(self, name: str) -> str | Path:
        """The source network that an arm begins with."""
        if name == "demo":
            return name
        path = self.out / f"start_{name}.safetensors"
        if not path.is_file():
            experiment = self.build("synthnight/source.yaml", **START, **(HRDA if name == "hrda" else {}))
            experiment.datamodule.source = self.scenes.source
            task = experiment.model
            task.load_weights("demo")
            experiment.trainer.fit(task, datamodule=experiment.datamodule)
            save_pretrained(task.student, path)
        return path

    def source_only(self, name: str) -> Scores:
        """A start, measured without any adaptation."""
        experiment = self.build(BASE, **(HRDA if name == "hrda" else {}))
        experiment.model.load_weights(self.start(name))
        return evaluate(experiment.model.student, self.scenes.night)

    def oracle(self) -> Scores:
        """The same network and start, trained on labelled night."""
        experiment = self.build("synthnight/oracle.yaml")
        experiment.datamodule.source = _scenes(self.scenes.targets[CLASSICAL])
        experiment.model.load_weights("demo")
        return self.fit(experiment)

    def run(self, only: Sequence[str]) -> None:
        """Run the arms that have no result yet."""
        jobs = {SOURCES[name]: (lambda name=name: self.source_only(name)) for name in SOURCES}
        jobs |= {arm.name: (lambda arm=arm: self.arm(arm)) for arm in ARMS}
        jobs[ORACLE] = self.oracle
        for name, job in jobs.items():
            path = self.out / f"{name.replace(' ', '_').replace('/', '-')}.json"
            if path.exists() or (only and name not in only):
                continue
            started = time.perf_counter()
            scores = job()
            row = {
                "name": name,
                "iou": scores.iou.tolist(),
                "seconds": time.perf_counter() - started,
                **scores.summary(),
            }
            path.write_text(json.dumps(row))
            print(
                f"seed {self.seed}: {name}: {100 * scores.mean_iou:.1f} / {100 * scores.mean_iou_dynamic_small:.1f}",
                flush=True,
            )


def _scenes(dataset: SegmentationDataset) -> SegmentationDataset:
    return dataset.dataset if isinstance(dataset, AlignedPairs) else dataset


def table(out: Path, seeds: Sequence[int]) -> str:
    """Mean and spread of each arm, and its classes, as Markdown."""
    names = [*SOURCES.values(), *(arm.name for arm in ARMS), ORACLE]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in seeds:
        for path in sorted((out / f"seed{seed}").glob("*.json")):
            row = json.loads(path.read_text())
            rows[row["name"]].append(row)
    classes = sorted({*CITYSCAPES.dynamic, *CITYSCAPES.small})
    lines = ["| arm | seeds | mIoU | dynamic + small |", "|---|---|---|---|"]
    for name, found in rows.items():
        if found:
            cells = " | ".join(_spread([row[key] for row in found]) for key in ("mIoU", "mIoU_dynamic_small"))
            lines.append(f"| {name} | {len(found)} | {cells} |")
    lines += [
        "",
        "| arm | " + " | ".join(CITYSCAPES.names[c] for c in classes) + " |",
        "|---" * (len(classes) + 1) + "|",
    ]
    for name, found in rows.items():
        if found:
            cells = " | ".join(f"{100 * statistics.mean(row['iou'][c] or 0 for row in found):.0f}" for c in classes)
            lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--only", nargs="*", default=[], help="names of arms")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scenes = Scenes()
    for seed in args.seeds:
        Bench(scenes, seed, args.steps, args.out).run(args.only)
    print(table(args.out, args.seeds))


if __name__ == "__main__":
    main()
