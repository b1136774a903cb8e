"""What a run found, measured and put into words for its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dsrnss.automation.plan import Plan
from dsrnss.data.base import SegmentationDataset, spread
from dsrnss.labels import LabelSpace
from dsrnss.machine import summary
from dsrnss.metrics import LabelFree, Scores
from dsrnss.models.segmentor import Segmentor
from dsrnss.reporting.content import ADAPTED, SOURCE_ONLY, Curve, Panel, RunReport
from dsrnss.reporting.findings import extremes, followed_curve, panels
from dsrnss.reporting.logs import FOLLOWED, METRICS, read_logs, smoothed
from dsrnss.training.callbacks.best_network import BestNetwork
from dsrnss.training.checkpoints import LOGS
from dsrnss.training.evaluation import evaluate, predict
from dsrnss.training.label_free import label_free, night_pictures

PANELS = 8
LOOKED_AT = 32
"""Night pictures whose predictions are counted."""


@dataclass(frozen=True)
class Found:
    """What the two networks do at night.

    Attributes:
        label_space: The classes.
        scores: By network, on labelled night pictures; empty: there are none.
        unlabelled: By network, on the pictures that were adapted to.
        panels: Scenes before and after.
        extremes: Those of the labelled night that the adapted network has most wrong, and most right.
    """

    label_space: LabelSpace
    scores: Mapping[str, Scores]
    unlabelled: Mapping[str, LabelFree]
    panels: list[Panel]
    extremes: list[Panel]

    @classmethod
    def measure(
        cls,
        networks: Mapping[str, Segmentor],
        label_space: LabelSpace,
        night: SegmentationDataset,
        val: SegmentationDataset | None,
        shown: SegmentationDataset,
    ) -> "Found":
        """Run the networks on the night.

        Args:
            networks: "source-only" and "adapted", in eval mode, both on one device.
            label_space: Their classes.
            night: The pictures that were adapted to.
            val: Labelled night pictures.
            shown: What the panels show.
        """
        device = next(networks[ADAPTED].parameters()).device
        scores = {} if val is None else {key: evaluate(one, val, 1) for key, one in networks.items()}
        unlabelled = {
            key: label_free(one, (p.to(device) for p in night_pictures(night, LOOKED_AT)), label_space.num_classes)
            for key, one in networks.items()
        }
        chosen = spread(len(shown), PANELS)
        ranked = [one.index for _, one in extremes(scores[ADAPTED])] if scores else []
        return cls(label_space, scores, unlabelled, _panels(networks, shown, chosen), _panels(networks, shown, ranked))


def _panels(networks: Mapping[str, Segmentor], dataset: SegmentationDataset, chosen: Sequence[int]) -> list[Panel]:
    before, after = (predict(networks[key], dataset, chosen) for key in (SOURCE_ONLY, ADAPTED))
    return panels(dataset, chosen, before, after)


def curves(folder: Path, best: BestNetwork) -> list[Curve]:
    """The curves of an adaptation, from the logs of all its runs: one that was resumed has several.

    Args:
        folder: Where the runs of the experiment are logged.
        best: What looked at the network.
    """
    files = sorted(folder.glob(f"version_*/{METRICS}"), key=lambda path: int(path.parent.name[8:]))
    logged = read_logs(files)
    found = [followed_curve(name, smoothed(logged[key])) for name, key in FOLLOWED.items() if key in logged]
    checks = [(float(check.step), 100 * check.score) for check in best.checks]
    return [*found, Curve("what the network is chosen by", "%", checks, "night")]


def report_of(
    out: Path,
    plan: Plan,
    found: Found,
    best: BestNetwork,
    command: str,
    model: Path,
    day_shares: npt.NDArray[np.float64],
    val: SegmentationDataset | None,
) -> RunReport:
    """The page of a run."""
    chosen = best.best
    assert chosen is not None
    by = "consistency and information" if val is None else "the mean IoU on the labelled night pictures"
    alike = "" if val is not None else "; of networks that differ by less than a twentieth, the later one"
    notes = [f"The network is that of step {chosen.step} of {plan.steps}, the best one by {by}{alike}."]
    if not chosen.step:
        notes = [f"Nothing was gained: by {by} no step of the adaptation was better than the network it began from."]
    if val is None:
        notes.append("Consistency and information say that a network has not collapsed, not that it is right.")
    else:
        notes.append("The labelled night pictures chose the network: its score on them is a little too high.")
    notes.append("This is one run with one seed. Another seed moves the mean IoU by a point or two.")
    return RunReport(
        title="From day to night",
        settings={**plan.table(), "CPU threads": str(torch.get_num_threads())},
        machine=summary(),
        seconds={},
        label_space=found.label_space,
        scores=found.scores,
        command=command,
        test_set="" if val is None else f"{len(val)} labelled night pictures",
        unlabelled=found.unlabelled,
        day_shares=day_shares,
        curves=curves(out / LOGS / "config", best),
        panels=found.panels,
        extremes=found.extremes,
        next_steps=[
            f"`dsrnss segment PHOTO.jpg --model {model} --out segmented`",
            f"`dsrnss fit --config {out / 'config.yaml'}` repeats the adaptation; its settings can be changed there.",
        ],
        notes=notes,
    )
