"""What the demo found, put into words and pictures."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

import dsrnss
from dsrnss.data.base import SegmentationDataset
from dsrnss.data.parallel import available_cores
from dsrnss.metrics import Scores, model_scores
from dsrnss.reporting.content import DAY, Curve, DemoReport, Panel
from dsrnss.reporting.report import write_report
from dsrnss.reporting.tables import print_scores
from dsrnss.training.callbacks.history import History


@dataclass(frozen=True)
class DemoFindings:
    """What a demo measured.

    Attributes:
        scores: By network.
        history: Curves of the adaptation.
        night: The test set.
        before: Label maps of its first scenes, source-only.
        after: The same, adapted.
        seconds: By phase.
        settings: Option -> value, as shown.
    """

    scores: Mapping[str, Scores]
    history: History
    night: SegmentationDataset
    before: Sequence[npt.NDArray[np.uint8]]
    after: Sequence[npt.NDArray[np.uint8]]
    seconds: Mapping[str, float]
    settings: Mapping[str, str]


def machine() -> dict[str, str]:
    """What the run ran on."""
    return {
        "processor": _processor(),
        "cores": str(available_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "dsrnss": dsrnss.__version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def write_demo_report(findings: DemoFindings, page: Path, command: str) -> Path:
    """Write the page, and print the table.

    Raises:
        OutputError: If the page cannot be written.
    """
    label_space = findings.night.label_space
    scores = {key: model_scores(key, value) for key, value in findings.scores.items()}
    report = DemoReport(
        title="dsrnss demo: from day to night",
        settings=findings.settings,
        machine=machine(),
        seconds=findings.seconds,
        label_space=label_space,
        scores=scores,
        curves=_curves(findings.history),
        panels=_panels(findings),
        command=command,
        next_steps=[
            f"`dsrnss segment PHOTO.jpg --out out --model {page.parent / 'adapted.safetensors'}`",
            "`dsrnss fit --config synthnight/adapt.yaml` runs the same adaptation with logs and checkpoints.",
        ],
        test_set=f"{len(findings.night)} night scenes that no training step has seen",
    )
    write_report(report, page)
    print_scores(Console(), {key: scores[key] for key in scores if key != DAY}, label_space)
    return page


def _curves(history: History) -> list[Curve]:
    curves = []
    for name, points in history.curves.items():
        share = "loss" not in name
        values = [(float(step), 100 * value if share else value) for step, value in points]
        curves.append(Curve(name, "%" if share else "", values, "pseudo-labels" if share else "loss"))
    for checks in history.scores.values():
        curves.append(Curve("mIoU, all classes", "%", [(float(step), 100 * mean) for step, mean, _ in checks], "miou"))
        small = [(float(step), 100 * mean) for step, _, mean in checks]
        curves.append(Curve("mIoU, dynamic and small classes", "%", small, "miou"))
    return curves


def _panels(findings: DemoFindings) -> list[Panel]:
    panels = []
    for index, (before, after) in enumerate(zip(findings.before, findings.after, strict=True)):
        sample = findings.night[index]
        night = sample["image"].permute(1, 2, 0).numpy()
        panels.append(Panel(sample["name"], night, sample["label"].numpy(), before, after))
    return panels
