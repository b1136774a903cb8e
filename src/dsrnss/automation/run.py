"""`dsrnss.adapt`: check, plan, train by day, adapt to the night, choose, and tell what came of it."""

import gc
import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dsrnss.automation import experiments
from dsrnss.automation.findings import Found, report_of
from dsrnss.automation.plan import NetworkChoice, Plan, choose, like
from dsrnss.automation.request import Request
from dsrnss.automation.sets import ALONE, SYNTHNIGHT, SetChoice, joined, labelled_set, night_set, supports
from dsrnss.data.base import SegmentationDataset
from dsrnss.data.checking.check import HARMLESS, CheckReport, check_sets
from dsrnss.data.multi_source import MultiSource
from dsrnss.errors import CheckpointError, DataError, DsrnssError, UsageError
from dsrnss.experiment.cli import ExperimentCLI, build
from dsrnss.experiment.failures import typed_failures
from dsrnss.experiment.files import experiment_name
from dsrnss.models.weights import load_pretrained, save_pretrained
from dsrnss.models.weights.registry import PHOTO_MODEL
from dsrnss.paths import expanded
from dsrnss.progress import counting
from dsrnss.reporting.content import ADAPTED, SOURCE_ONLY
from dsrnss.reporting.report import write_report
from dsrnss.training import checkpoints
from dsrnss.training.callbacks.best_network import BestNetwork
from dsrnss.writing import prepare_folder, write_atomically

MODEL, REPORT, REQUEST = "model", "report.html", "adapt.json"
_DAY_WEIGHTS = "day.safetensors"
_SHOWN = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adapted:
    """What an adaptation left behind.

    Attributes:
        model: Folder of the adapted network, for `Segmenter` and `dsrnss segment --model`.
        report: The page.
        config: The experiment of the adaptation, which `dsrnss fit --config` repeats.
        numbers: What stands in the page, as plain values.
    """

    model: Path
    report: Path
    config: Path
    numbers: Mapping[str, Any]


def adapt(day: str | Path, night: str | Path, out: str | Path = "adapted", **options: Any) -> Adapted:
    """Adapt a network from labelled day pictures to night pictures that have no labels.

    Called again with the same words, it goes on where it was interrupted.

    Args:
        day: Labelled pictures: a folder, a known set, or `synthnight`.
        night: Pictures to adapt to: a folder of pictures, or a known set.
        out: Folder of all that is written: `model`, `report.html`, `config.yaml`, and the logs of the training.
        **options: What `Request` takes.

    Returns:
        Where the results are.

    Raises:
        UsageError: If an option has no meaning, or `out` holds a run with other options.
        DatasetNotFoundError: If there are no pictures, or no labels by day.
        DataError: If the pictures have problems that are not allowed.
        CheckpointError: If the weights cannot be read.
        OutputError: If something cannot be written.
    """
    return _Adaptation(Request.of(day, night, options), prepare_folder(out)).run()


class _Adaptation:
    """One run, phase after phase; each leaves a file by which it is known to be done."""

    def __init__(self, request: Request, out: Path) -> None:
        self.request, self.out = request, out
        first = labelled_set(request.day, request.labels_file)
        self.night = night_set(request.night, request.refs, request.pairs)
        self.supported = not request.source and supports(first, self.night)
        more = (SYNTHNIGHT,) if self.supported else request.source
        self.day = joined(first, () if more == (ALONE,) else more)
        self.val = None if request.val is None else labelled_set(request.val, self._classes(first), part="val")

    def _classes(self, day: SetChoice) -> str | None:
        """The file of the classes of the labelled nights: their own, else that of the day."""
        given = self.request.labels_file
        if given is not None or day.kind != "Folder" or self.request.val is None:
            return given
        own = expanded(self.request.val) / "labels.yaml"
        return None if own.is_file() else str(Path(day.arguments["root"]) / "labels.yaml")

    def run(self) -> Adapted:
        earlier = self._earlier_plan()
        plan, network, start = self._plan(earlier)
        if earlier is None:
            self._check()
            self._tell(plan)
            self._remember(plan)
        try:
            weights = start or self._by_day(plan, network)
            cli = self._at_night(plan, network, weights)
        except DsrnssError:
            if not self._has_learned():
                (self.out / REQUEST).unlink(missing_ok=True)  # or it would refuse the words that are put right
            raise
        return self._finish(plan, weights, cli)

    # --- what was asked for -------------------------------------------------------------------------------------------

    def _earlier_plan(self) -> dict[str, Any] | None:
        """The choices that this run began with, None: it has not begun.

        Raises:
            UsageError: If the folder holds a run with other options.
        """
        try:
            content = json.loads((self.out / REQUEST).read_text(encoding="utf-8"))
            earlier, plan = content["request"], dict(content["plan"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"'{self.out / REQUEST}' cannot be read ({error}): choose another --out.") from error
        now = json.loads(json.dumps(asdict(self.request)))
        differing = [key for key in now if earlier.get(key) != now[key]]
        if differing:
            told = "; ".join(f"{key.replace('_', '-')} was {earlier.get(key)} and is {now[key]}" for key in differing)
            raise UsageError(f"'{self.out}' holds a run with other options ({told}): choose another --out.")
        return plan

    def _tell(self, plan: Plan) -> None:
        text = ", ".join(f"{name} {value}" for name, value in plan.table().items())
        _log.info("chosen: %s. Each has an option of its name.", text)
        if self.supported:
            _log.info(
                "the skies of these nights are dark and labelled pictures few: SynthNight's scenes are learned from as "
                "well. Not so with --source none."
            )
        if isinstance(source := self.day.build(), MultiSource):
            _log.info("the classes of the sources, by name:\n%s", source.mapping_table())

    def _remember(self, plan: Plan) -> None:
        content = {"request": asdict(self.request), "plan": asdict(plan)}
        write_atomically(self.out / REQUEST, f"{json.dumps(content, indent=1)}\n".encode())

    def _sets(self) -> dict[str, SegmentationDataset]:
        sets = {"day": self.day, "night": self.night, "val": self.val}
        return {name: choice.build() for name, choice in sets.items() if choice is not None}

    def _check(self) -> None:
        """Read every file, as `dsrnss data check` does.

        Raises:
            DataError: If one has a problem that is not allowed.
        """
        sets = self._sets()
        # apart: pictures to choose by may be among those that are adapted to, which is done without their labels
        val = {"val": sets.pop("val")} if "val" in sets else {}
        for group in (sets, val):
            with counting("files checked") as progress:
                report = check_sets(group, dict.fromkeys(group, "training"), progress=progress)
            _refuse(report, self.request.allow)
            for remark in report.remarks:
                _log.info("%s", remark)

    def _plan(self, earlier: Mapping[str, Any] | None) -> tuple[Plan, NetworkChoice, str | None]:
        """The choices, and the weights that the adaptation begins from, None: training by day makes them.

        A run that goes on keeps those that it began with, whatever the machine has by now.
        """
        request = self.request
        given = earlier or {field.name: getattr(request, field.name) for field in fields(Plan)}
        weights = request.weights or self._packaged(given)
        if weights is None:
            plan, network = choose(self.day, self.night, given)
            return plan, network, None
        if request.network is not None:
            raise UsageError("--weights says which network it is: leave --network out.")
        pretrained = load_pretrained(weights)
        network = like(pretrained.segmentor.config, weights)
        plan, network = choose(self.day, self.night, given, (weights, network))
        seen = pretrained.label_space.names == self.day.build().label_space.names
        return (replace(plan, day_steps=0), network, weights) if seen else (plan, network, None)

    def _packaged(self, given: Mapping[str, Any]) -> str | None:
        """The packaged network that has learned from SynthNight, where that is all there is to learn from.

        A user who asks for a network, a size or steps by day trains one of his own.
        """
        if given["network"] is not None:
            return PHOTO_MODEL if given["network"] == PHOTO_MODEL and self.request.network is None else None
        asked = given["size"] is not None or given["day_steps"] is not None
        if asked or self.day.kind != "SynthNight":
            return None
        if find_spec("timm") is None:
            _log.info("with dsrnss[timm] installed it would begin with %s, which has learned from it.", PHOTO_MODEL)
            return None
        _log.info("begins with %s, which has learned from SynthNight; --network lite0 trains it anew.", PHOTO_MODEL)
        return PHOTO_MODEL

    # --- training -----------------------------------------------------------------------------------------------------

    def _has_learned(self) -> bool:
        return (self.out / _DAY_WEIGHTS).is_file() or any(self.out.rglob("*.ckpt"))

    def _by_day(self, plan: Plan, network: NetworkChoice) -> str:
        weights = self.out / _DAY_WEIGHTS
        if not weights.is_file():
            content = experiments.day_experiment(plan, network, self.day, self.request.seed)
            cli = self._fit(experiments.write(content, self.out / experiments.DAY), "training by day")
            save_pretrained(cli.model.student, weights, cli.model.label_space, cli.model.card())
            del cli
            gc.collect()  # networks, optimiser and data hold each other, and the adaptation needs their room
        return str(weights.absolute())

    def _at_night(self, plan: Plan, network: NetworkChoice, weights: str) -> ExperimentCLI:
        content = experiments.night_experiment(
            plan, network, self.day, self.night, self.request.seed, weights, self.val
        )
        return self._fit(experiments.write(content, self.out / experiments.NIGHT), "adaptation")

    def _fit(self, config: Path, what: str) -> ExperimentCLI:
        words = ["--trainer.default_root_dir", str(self.out)]
        last: str | None = None
        try:
            last = str(checkpoints.find_last(self.out, experiment_name([config])))
            words += ["--ckpt_path", last]
        except CheckpointError:
            _log.info("%s begins.", what)
        with typed_failures(lambda: last):
            cli = build("fit", [config], words)
            cli.run()
        return cli

    # --- what came of it ----------------------------------------------------------------------------------------------

    def _finish(self, plan: Plan, weights: str, cli: ExperimentCLI) -> Adapted:
        callbacks = cli.trainer.callbacks  # type: ignore[attr-defined]
        best = next(callback for callback in callbacks if isinstance(callback, BestNetwork))
        if best.kept is None or best.best is None:
            raise CheckpointError(f"'{self.out}' holds no adapted network: begin again in another folder.")
        if not best.best.step:
            _log.warning("no step of the adaptation was better than the network it began from, which is kept.")
        before, after = load_pretrained(weights), load_pretrained(best.kept)
        device = cli.trainer.strategy.root_device  # a CPU beside a GPU takes seconds for each picture
        networks = {SOURCE_ONLY: before.segmentor.to(device), ADAPTED: after.segmentor.to(device)}
        night = self.night.of_side(plan.size).build()
        # scored at the size of the labels, as while it is chosen; shown at that of the pictures
        val = None if self.val is None else self.val.having(resize_label=False).of_side(plan.size).build()
        shown = night if self.val is None else self.val.of_side(plan.size).build()
        found = Found.measure(networks, after.label_space, night, val, shown)
        card = after.card | {
            "day": self.request.day,
            "night": self.request.night,
            "plan": plan.table(),
            "chosen": f"step {best.best.step} of {plan.steps}",
            "night score": best.best.score,
        }
        model = save_pretrained(after.segmentor, self.out / MODEL, after.label_space, card)
        counts = cli.datamodule.source_counts().astype(float)
        shares = counts / max(counts.sum(), 1)
        report = report_of(self.out, plan, found, best, self._command(), model, shares, val)
        page, numbers = write_report(report, self.out / REPORT)
        return Adapted(model, page, self.out / experiments.NIGHT, json.loads(numbers.read_text(encoding="utf-8")))

    def _command(self) -> str:
        """The command that repeats the run."""
        request = asdict(self.request)
        words = ["dsrnss", "adapt", request.pop("day"), request.pop("night"), "--out", str(self.out)]
        for key, value in request.items():
            if value in (None, ()) or (key == "seed" and value == 0):
                continue
            option = f"--{key.replace('_', '-')}"
            if key in ("source", "allow"):
                words += [word for one in value for word in (option, one)]
            else:
                words += [option, *map(str, value if isinstance(value, list | tuple) else [value])]
        return shlex.join(words)


def _refuse(report: CheckReport, allow: Sequence[str]) -> None:
    problems = [problem for problem in report.problems if problem.kind not in allow]
    if not problems:
        return
    told = [f"  {problem.set}: {problem.file}: {problem.message} ({problem.kind})" for problem in problems[:_SHOWN]]
    more = f"\n  and {len(problems) - _SHOWN} more; `dsrnss data check FOLDER` names all." if problems[_SHOWN:] else ""
    harmless = [problem.kind for problem in problems if problem.kind in HARMLESS]
    way = f"or accept a kind of problem: --allow {harmless[0]}" if harmless else "or take these files away"
    raise DataError(
        f"{len(problems)} of the pictures or labels have problems:\n" + "\n".join(told) + f"{more}\nMend them, {way}."
    )
