"""The demo: a network that knows day scenes is adapted to night, and measured before and after on the same scenes.

Its experiments are the packaged `synthnight/source.yaml`, `adapt.yaml` and `oracle.yaml`; the demo adds the display,
the evaluations and the report.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from dsrnss.data.alignment_store import AlignedPairs
from dsrnss.data.base import SegmentationDataset
from dsrnss.data.synthnight.dataset import SynthNight
from dsrnss.demo.findings import NOTES, curves
from dsrnss.errors import ConfigError
from dsrnss.experiment.cli import ExperimentCLI, build
from dsrnss.experiment.interruption import interruptible
from dsrnss.machine import available_cores, summary
from dsrnss.metrics import Scores
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import DEMO_MODEL, save_pretrained
from dsrnss.progress import ProgressDisplay
from dsrnss.reporting.content import ADAPTED, DAY, ORACLE, SOURCE_ONLY, Curve, Panel, RunReport
from dsrnss.reporting.findings import extremes, panels
from dsrnss.reporting.report import write_report
from dsrnss.reporting.tables import print_scores
from dsrnss.training.callbacks.history import History
from dsrnss.training.evaluation import evaluate, predict
from dsrnss.training.task import AdaptationTask
from dsrnss.training.threads import fastest_thread_count
from dsrnss.writing import prepare_folder

Length = Literal["quick", "standard", "full"]
PANELS = 8


@dataclass(frozen=True)
class DemoOptions:
    """What `dsrnss demo` can be told.

    Args:
        out: Folder of the report and the adapted network.
        length: `quick` shows that everything works, `standard` the gain, `full` trains longer and adds the oracle.
        from_scratch: Train the source network too, instead of taking the packaged one.
        seed: Seed of all training draws; the scenes stay the same.
        threads: CPU threads; None: timed.
        oracle: Also train the oracle, on labelled night.
    """

    out: Path = Path("demo")
    length: Length = "standard"
    from_scratch: bool = False
    seed: int = 0
    threads: int | None = None
    oracle: bool = False


@dataclass(frozen=True)
class Amounts:
    """How much of everything a length means.

    Attributes:
        scenes: Scenes of each training set.
        val: Night scenes of the curve.
        test: Night scenes of the table.
        source_steps: Steps of source training from scratch.
        steps: Steps of adaptation, and of the oracle.
    """

    scenes: int
    val: int
    test: int
    source_steps: int
    steps: int


AMOUNTS: dict[Length, Amounts] = {
    "quick": Amounts(scenes=40, val=8, test=24, source_steps=30, steps=20),
    "standard": Amounts(scenes=400, val=32, test=100, source_steps=500, steps=300),
    "full": Amounts(scenes=800, val=50, test=200, source_steps=2000, steps=1500),
}
# Core seconds measured: a scene, a pair aligned, a training step on source alone, one of adaptation, a picture scored.
RENDER, ALIGN, SOURCE_STEP, ADAPT_STEP, SCORE = 0.04, 0.13, 0.4, 1.0, 0.03
CHECKS = 10
"""Points of the mIoU curve."""


@dataclass(frozen=True)
class DemoResult:
    """What a demo found.

    Attributes:
        scores: By network: source-only, adapted, the source network by day, and the oracle if it was trained.
        report: The page.
    """

    scores: dict[str, Scores]
    report: Path


def run_demo(options: DemoOptions) -> DemoResult:
    """Run the demo.

    Raises:
        OutputError: If the output folder is a file, or something cannot be written.
    """
    return _Demo(replace(options, out=prepare_folder(options.out))).run()


class _Demo:
    """One run, phase after phase."""

    def __init__(self, options: DemoOptions) -> None:
        self.options, self.amounts = options, AMOUNTS[options.length]
        self.with_oracle = options.oracle or options.length == "full"
        self.progress = ProgressDisplay(self._phases(), console=Console())

    def _phases(self) -> dict[str, float]:
        a = self.amounts
        core_seconds = {
            "render scenes": (3 * a.scenes + 2 * a.test + a.val) * RENDER,
            "align night with day": a.scenes * ALIGN,
            "train on day": a.source_steps * SOURCE_STEP if self.options.from_scratch else 0,
            "score source-only": 2 * a.test * SCORE,
            "adapt to night": a.steps * ADAPT_STEP + CHECKS * a.val * SCORE,
            "score adapted": a.test * SCORE,
            "train oracle": a.steps * SOURCE_STEP if self.with_oracle else 0,
            "score oracle": a.test * SCORE if self.with_oracle else 0,
        }
        cores = min(available_cores(), 2)
        return {name: 2 + seconds / cores for name, seconds in core_seconds.items() if seconds}

    def run(self) -> DemoResult:
        with self.progress:
            adaptation = self._build("adapt")
            task, data = adaptation.model, adaptation.datamodule
            threads = self._threads(task)
            self._prepare(data.source, data.target, *data.val.values(), *data.test.values())
            weights = self._train_on_day(adaptation) if self.options.from_scratch else DEMO_MODEL
            task.load_weights(weights)
            night, day = data.test["night"], data.test["day"]
            found = {SOURCE_ONLY: self._score("score source-only", task.student, night, also=len(day))}
            found[DAY] = evaluate(task.student, day, advance=self.progress.advance)
            source_only = copy.deepcopy(task.student)
            history = self._fit("adapt to night", adaptation)
            found[ADAPTED] = self._score("score adapted", task.evaluated, night)
            ranked = [one.index for _, one in extremes(found[ADAPTED])]
            compared = {
                key: panels(
                    night, chosen, *(predict(network, night, chosen) for network in (source_only, task.evaluated))
                )
                for key, chosen in (
                    ("panels", range(PANELS)),
                    ("extremes", ranked),
                )
            }
            if self.with_oracle:
                found[ORACLE] = self._oracle(adaptation, weights)
        save_pretrained(task.evaluated, self.options.out / "adapted.safetensors", task.label_space, task.card())
        shown = {key: scores for key, scores in found.items() if key != DAY}
        report = self._report(found, night, threads, curves(history), compared)
        page, _ = write_report(report, self.options.out / "report.html")
        print_scores(Console(), shown, night.label_space)
        return DemoResult(found, page)

    def _report(
        self,
        scores: dict[str, Scores],
        night: SegmentationDataset,
        threads: int,
        curves: list[Curve],
        compared: dict[str, list[Panel]],
    ) -> RunReport:
        model = self.options.out / "adapted.safetensors"
        return RunReport(
            title="dsrnss demo: from day to night",
            settings={
                "seed": str(self.options.seed),
                "steps of adaptation": str(self.amounts.steps),
                "CPU threads": str(threads),
            },
            machine=summary(),
            seconds=self.progress.seconds,
            label_space=night.label_space,
            scores=scores,
            command=self._command(),
            test_set=f"{len(night)} night scenes that no training step has seen",
            curves=curves,
            panels=compared["panels"],
            extremes=compared["extremes"],
            next_steps=[
                f"`dsrnss segment PHOTO.jpg --out out --model {model}`",
                "`dsrnss fit --config synthnight/adapt.yaml` runs it for 400 steps, with logs and checkpoints.",
            ],
            notes=NOTES,
        )

    # --- phases ---------------------------------------------------------------------------------------------------

    def _build(self, name: str, steps: int | None = None) -> ExperimentCLI:
        steps = steps or self.amounts.steps
        words = {
            "trainer.max_steps": steps,
            "trainer.val_check_interval": max(steps // CHECKS, 1),
            "trainer.num_sanity_val_steps": -1,  # the curve's first point
            "trainer.logger": "false",
            "trainer.enable_progress_bar": "false",
            "trainer.enable_checkpointing": "false",
            "trainer.enable_model_summary": "false",
            "seed_everything": self.options.seed,
            "model.weights": "random",
        }
        cli = build("fit", [f"synthnight/{name}.yaml"], [f"--{key}={value}" for key, value in words.items()])
        data, amounts = cli.datamodule, self.amounts
        lengths = [(data.source, amounts.scenes), (data.target, amounts.scenes)]
        lengths += [(dataset, amounts.val) for dataset in data.val.values()]
        lengths += [(dataset, amounts.test) for dataset in data.test.values()]
        for dataset, length in lengths:
            if dataset is not None:
                scenes(dataset).length = length
        return cli

    def _threads(self, task: AdaptationTask) -> int:
        if self.options.threads is not None:
            torch.set_num_threads(self.options.threads)
            return self.options.threads
        network = copy.deepcopy(task.student)
        with torch.random.fork_rng(devices=[]):
            images = torch.randn(4, 3, 160, 288).contiguous(memory_format=torch.channels_last)
            return fastest_thread_count(lambda: network(images).logits.sum().backward())

    def _prepare(self, *sets: SegmentationDataset) -> None:
        rendered = [scenes(dataset) for dataset in sets]
        self.progress.begin("render scenes", sum(len(dataset) * (1 + dataset.references) for dataset in rendered))
        for dataset in rendered:
            dataset.prepare(progress=self._counter(1 + dataset.references))
        pairs = [dataset for dataset in sets if isinstance(dataset, AlignedPairs)]
        self.progress.begin("align night with day", sum(len(dataset) for dataset in pairs))
        for pair in pairs:
            pair.prepare(progress=self._counter())

    def _counter(self, units: int = 1) -> Callable[[int, int], None]:
        done = 0

        def count(now: int, _: int) -> None:
            nonlocal done
            self.progress.advance((now - done) * units)
            done = now

        return count

    def _train_on_day(self, adaptation: ExperimentCLI) -> Path:
        day = self._build("source", self.amounts.source_steps)
        _share(adaptation, day)
        self._fit("train on day", day, check=False)
        path = self.options.out / "source.safetensors"
        return save_pretrained(day.model.student, path, day.model.label_space, day.model.card())

    def _oracle(self, adaptation: ExperimentCLI, weights: Path) -> Scores:
        oracle = self._build("oracle")
        _share(adaptation, oracle)
        oracle.datamodule.source = scenes(adaptation.datamodule.target)
        oracle.model.load_weights(weights)
        self._fit("train oracle", oracle, check=False)
        return self._score("score oracle", oracle.model.student, oracle.datamodule.test["night"])

    def _fit(self, phase: str, experiment: ExperimentCLI, *, check: bool = True) -> History:
        trainer = experiment.trainer
        self.progress.begin(phase, trainer.max_steps)
        history = History(lambda loss: self.progress.advance(loss=loss), every=max(trainer.max_steps // 60, 1))
        trainer.callbacks.append(history)  # type: ignore[attr-defined]
        if not check:
            trainer.limit_val_batches = 0
        with interruptible(trainer):
            trainer.fit(experiment.model, datamodule=experiment.datamodule)
        return history

    def _score(self, phase: str, network: Segmentor, dataset: SegmentationDataset, also: int = 0) -> Scores:
        self.progress.begin(phase, len(dataset) + also)
        return evaluate(network, dataset, advance=self.progress.advance)

    def _command(self) -> str:
        options = self.options
        words = ["dsrnss", "demo", "--seed", str(options.seed)]
        words += [f"--{options.length}"] if options.length != "standard" else []
        words += ["--from-scratch"] if options.from_scratch else []
        words += ["--oracle"] if options.oracle else []
        return " ".join(words)


def scenes(dataset: SegmentationDataset) -> SynthNight:
    """The SynthNight behind a data set of the demo."""
    inner = dataset.dataset if isinstance(dataset, AlignedPairs) else dataset
    if not isinstance(inner, SynthNight):
        raise ConfigError(f"The demo works on SynthNight, not on {type(inner).__name__}.")
    return inner


def _share(giver: ExperimentCLI, taker: ExperimentCLI) -> None:
    """Let two experiments use the same scenes in memory."""
    for name in ("source", "val", "test"):
        setattr(taker.datamodule, name, getattr(giver.datamodule, name))
