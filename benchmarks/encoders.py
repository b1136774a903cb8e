"""What an encoder costs and brings: trained by day and adapted, all with one budget, on your own folders.

    python benchmarks/encoders.py --day DAY --day-test DAY_TEST --target DUSK --target-val DUSK_VAL --out runs/encoders

The folders are of the layout of docs/own_data.md; without them SynthNight's scenes are taken. A network is trained on
the labelled day pictures, scored by day and on the target, adapted to the target's pictures without a label of them,
and scored again. A stage whose result is in --out is not run again.

    python benchmarks/encoders.py --cost --arms lite0 lite0-linear lite0-daformer

measures only what a pass forward and back costs, the arms in turns.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from dsrnss import NetworkConfig, save_pretrained
from dsrnss.adaptation.augmentation import AugmentationConfig
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
from dsrnss.adaptation.losses import SourceConfig
from dsrnss.adaptation.memory_bank import MemoryBankConfig
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.adaptation.teacher import SelfTrainingConfig
from dsrnss.data import Folder, SegmentationDataset, SynthNight
from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.data.sampling import RareClassSampling
from dsrnss.models.factory import build_segmentor
from dsrnss.training.evaluation import evaluate
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig
from dsrnss.training.task import AdaptationTask


@dataclass(frozen=True)
class Arm:
    """An encoder with its head, its weights, and how it learns.

    Args:
        network: Its parts.
        weights: Of the encoder.
        lr: Of the head.
        factor: The encoder's share of it.
        layer_decay: Of the encoder.
    """

    network: NetworkConfig
    weights: str = "random"
    lr: float = 2e-3
    factor: float = 1.0
    layer_decay: float = 1.0


LITE0 = "timm/tf_efficientnet_lite0"
ARMS = {
    "compact": Arm(NetworkConfig("compact", "fpn", 48)),
    "mit_b0": Arm(NetworkConfig("mit_b0", "segformer", 128), lr=6e-4),
    "lite0": Arm(NetworkConfig(LITE0, "fpn", 64), "efficientnet_lite0", factor=0.3),
    "lite0-segformer": Arm(NetworkConfig(LITE0, "segformer", 128), "efficientnet_lite0", factor=0.3),
    "lite0-daformer": Arm(NetworkConfig(LITE0, "daformer", 64), "efficientnet_lite0", factor=0.3),
    "lite0-linear": Arm(NetworkConfig(LITE0, "linear"), "efficientnet_lite0", factor=0.3),
    "lite0-scratch": Arm(NetworkConfig(LITE0, "fpn", 64)),
}


@dataclass(frozen=True)
class Sets:
    """The pictures.

    Args:
        day: Labelled, to train on.
        day_test: Labelled.
        target: To adapt to; its labels are not looked at.
        target_val: Labelled, to measure the adaptation.
    """

    day: SegmentationDataset
    day_test: SegmentationDataset
    target: SegmentationDataset
    target_val: SegmentationDataset


class Bench:
    """The two stages of an arm.

    Args:
        sets: The pictures.
        args: The budget, as on the command line.
    """

    def __init__(self, sets: Sets, args: argparse.Namespace) -> None:
        self.sets, self.args = sets, args

    def run(self, name: str) -> None:
        """Train by day and adapt, whatever is not there yet."""
        arm = ARMS[name]
        self.stage(f"{name}.source", lambda: self.source_task(arm, name), self.args.steps, None)
        if self.args.adapt_steps:
            start = self.args.out / f"{name}.source.safetensors"
            self.stage(
                f"{name}.adapted", lambda: self.adaptation_task(arm, start), self.args.adapt_steps, self.sets.target
            )

    def stage(
        self, name: str, make: Callable[[], AdaptationTask], steps: int, target: SegmentationDataset | None
    ) -> None:
        """Train, save and score."""
        result = self.args.out / f"{name}.json"
        if result.exists():
            return
        L.seed_everything(self.args.seed, verbose=False)
        task, started = make(), time.perf_counter()
        self.trainer(steps).fit(task, datamodule=self.data(target))
        seconds = time.perf_counter() - started
        network = task.student
        save_pretrained(network, self.args.out / f"{name}.safetensors", task.label_space)
        scores = {"day": evaluate(network, self.sets.day_test), "target": evaluate(network, self.sets.target_val)}
        parameters = sum(p.numel() for p in network.parameters())
        row: dict[str, Any] = {
            "name": name,
            "seconds_a_step": seconds / steps,
            "parameters": parameters,
            **{key: found.mean_iou for key, found in scores.items()},
            "iou": {key: found.iou.tolist() for key, found in scores.items()},
            "budget": {key: str(value) for key, value in vars(self.args).items()},
        }
        result.write_text(json.dumps(row, indent=1))
        shown = ", ".join(f"{key} {100 * found.mean_iou:.1f}" for key, found in scores.items())
        print(f"{name}: {shown} ({seconds / steps:.2f} s a step, {parameters / 1e6:.1f} M parameters)", flush=True)

    def source_task(self, arm: Arm, name: str) -> AdaptationTask:
        """Supervised training by day; on with what an earlier run has, at half the learning rate."""
        start = self.args.start
        return AdaptationTask(
            arm.network,
            weights="random" if start is None else str(start / f"{name}.source.safetensors"),
            backbone_weights=arm.weights,
            optimizer=OptimizerConfig(arm.lr / (2 if start else 1), arm.factor, layer_decay=arm.layer_decay),
            schedule=ScheduleConfig(warmup_steps=30),
            label_space=self.sets.day.label_space,
            source=SourceConfig(class_balance=self.args.balance, augmentation=AugmentationConfig(jitter=0.3, hue=0.03)),
            feature_distance=FeatureDistanceConfig(weight=0),
        )

    def adaptation_task(self, arm: Arm, start: Path) -> AdaptationTask:
        """The method, without references where the target has none."""
        steps = self.args.adapt_steps
        return AdaptationTask(
            arm.network,
            weights=str(start),
            optimizer=OptimizerConfig(arm.lr / 10, arm.factor, layer_decay=arm.layer_decay),
            schedule=ScheduleConfig(warmup_steps=30),
            label_space=self.sets.day.label_space,
            source=SourceConfig(augmentation=AugmentationConfig(jitter=0.3, hue=0.03)),
            self_training=SelfTrainingConfig(momentum=0.99, joint_forward=True),
            memory_bank=MemoryBankConfig(size=1, interval=10),
            prototypes=PrototypeConfig(start_step=steps // 5),
        )

    def data(self, target: SegmentationDataset | None) -> AdaptationDataModule:
        """Day pictures and, to adapt, the target's."""
        args = self.args
        return AdaptationDataModule(
            self.sets.day,
            target,
            val={"target": self.sets.target_val},
            crop_size=tuple(args.crop),
            source_batch_size=args.batch // 2 if target else args.batch,
            target_batch_size=args.batch // 2,
            eval_batch_size=4,
            workers=0,
            rare_class_sampling=RareClassSampling(temperature=args.temperature),
            seed=args.seed,
        )

    def trainer(self, steps: int) -> L.Trainer:
        """Without any files of its own."""
        return L.Trainer(
            max_steps=steps,
            accelerator="auto",
            devices=1,
            gradient_clip_val=5.0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
        )


def sets_of(args: argparse.Namespace) -> Sets:
    """The folders that were named, or SynthNight's scenes."""
    if args.day is None:
        scenes = dict(cache=True)
        return Sets(
            SynthNight("source", length=400, **scenes),
            SynthNight("test", light="day", **scenes),
            SynthNight("target", length=400, **scenes),
            SynthNight("test", **scenes),
        )
    return Sets(Folder(args.day), Folder(args.day_test), Folder(args.target), Folder(args.target_val))


def costs(names: Sequence[str], args: argparse.Namespace, rounds: int = 3) -> str:
    """Least CPU seconds of a pass forward and back, and their ratio to those of the first arm."""
    images = torch.randn(args.batch, 3, *args.crop)
    networks = {name: build_segmentor(ARMS[name].network).train() for name in names}
    least = dict.fromkeys(names, float("inf"))
    for number in range(rounds + 1):
        for name, network in networks.items():
            started = time.process_time()
            network(images).logits.square().mean().backward()
            if number:  # the first pass warms up
                least[name] = min(least[name], time.process_time() - started)
    return "\n".join(f"{name}: {value:.2f} s, ratio {value / least[names[0]]:.2f}" for name, value in least.items())


def table(out: Path) -> str:
    """All results as Markdown."""
    lines = ["| network | M parameters | stage | s a step | day | target |", "|---|---|---|---|---|---|"]
    for path in sorted(out.glob("*.json")):
        row = json.loads(path.read_text())
        name, stage = row["name"].rsplit(".", 1)
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.1f} | {stage} | {row['seconds_a_step']:.2f} | "
            f"{100 * row['day']:.1f} | {100 * row['target']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=Path, help="labelled day pictures to train on")
    parser.add_argument("--day-test", type=Path, help="labelled day pictures to score")
    parser.add_argument("--target", type=Path, help="pictures to adapt to, without labels")
    parser.add_argument("--target-val", type=Path, help="labelled pictures of the target to score")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["compact", "mit_b0", "lite0"])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--adapt-steps", type=int, default=400, help="0: none")
    parser.add_argument("--batch", type=int, default=6, help="crops a step; of the adaptation half are the target's")
    parser.add_argument("--crop", type=int, nargs=2, default=[256, 352], help="height and width")
    parser.add_argument("--temperature", type=float, default=0.02, help="of rare class sampling")
    parser.add_argument("--balance", type=float, default=0.5, help="exponent of the class weights by day")
    parser.add_argument("--start", type=Path, help="--out of an earlier run whose networks are trained on by day")
    parser.add_argument("--cost", action="store_true", help="train nothing, measure a pass of each arm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/encoders"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.cost:
        print(costs(args.arms, args))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(sets_of(args), args)
    for name in args.arms:
        bench.run(name)
    print(table(args.out))


if __name__ == "__main__":
    main()
