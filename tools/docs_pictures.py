"""Draw the pictures of docs/method_in_pictures.md: scenes of SynthNight through the parts of the method.

Usage: `python tools/docs_pictures.py [FOLDER]` (docs/pictures). The teacher is the packaged network, which has only
seen day. The same program draws the same pictures.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from dsrnss.adaptation.alignment import ClassicalAligner
from dsrnss.adaptation.geometry import warp
from dsrnss.adaptation.method import DSRNSS, MethodConfig
from dsrnss.adaptation.mixing import class_masks
from dsrnss.adaptation.night_aware import NightAwareConfig, match_to_night
from dsrnss.adaptation.prototypes import class_prototypes, similarities
from dsrnss.adaptation.records import Target
from dsrnss.adaptation.relighting import RelightingConfig, relight
from dsrnss.data import SynthNight
from dsrnss.labels import CITYSCAPES
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import DEMO_MODEL, load_pretrained
from dsrnss.normalisation import denormalise, normalise
from dsrnss.presence import classes_present
from dsrnss.reporting.figures import Picture, contact_sheet, overlay

NIGHT, DAY, OTHER_DAY = 14, 3, 14
"""Numbers of the scenes: one by night with its reference, two of the labelled day."""
WIDTH = 288
FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


class Scenes(NamedTuple):
    """What the pictures are made of, (1, ...) each.

    Attributes:
        night: Normalised night image.
        reference: The same place by day, normalised.
        truth: Labels of the night image, which training does not see.
        day: Normalised labelled day image.
        labels: Its labels.
    """

    night: Tensor
    reference: Tensor
    truth: Tensor
    day: Tensor
    labels: Tensor


def scenes(day: int = DAY) -> Scenes:
    night, source = SynthNight("target", labelled=True)[NIGHT], SynthNight("source")[day]
    images = (normalise(sample[None]) for sample in (night["image"], night["reference"], source["image"]))
    at_night, reference, by_day = images
    return Scenes(at_night, reference, night["label"][None].long(), by_day, source["label"][None].long())


def shown(image: Tensor) -> np.ndarray:
    """The pixels of a normalised (3, H, W) image."""
    return (denormalise(image).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()


def painted(labels: Tensor, image: Tensor | None = None) -> np.ndarray:
    """(H, W) labels in their colours, laid over a normalised image if there is one."""
    ids = labels.numpy().astype(np.int64)
    return CITYSCAPES.colorize(ids) if image is None else overlay(shown(image), ids, CITYSCAPES, 0.65)


def heat(values: Tensor) -> np.ndarray:
    """(H, W) of 0 to 1 from black to yellow."""
    grey = (values.clamp(0, 1) * 255).byte().numpy()
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def save(folder: Path, name: str, titles: Sequence[str], *rows: Sequence[Picture], lines: Sequence[str] = ()) -> None:
    """Write a table of pictures with few colours, so that it stays small; `lines` stand above its rows."""
    sheet = contact_sheet(rows, titles, cell_width=WIDTH, row_titles=lines or None)
    sheet.quantize(192).save(folder / f"{name}.png", optimize=True)


@torch.no_grad()
def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    network = load_pretrained(DEMO_MODEL).segmentor.eval()
    method = DSRNSS(network, config=MethodConfig(), aligner=ClassicalAligner(), seed=5)
    s = scenes()
    save(
        folder,
        "setting",
        ("labelled day picture", "night picture, no labels", "the same place by day"),
        (painted(s.labels[0], s.day[0]), shown(s.night[0]), shown(s.reference[0])),
    )
    target = method.pseudo_label({"image": s.night, "reference": s.reference})
    draw_refinement(folder, s, target)
    draw_mixing(folder, s, method, target)
    draw_prototypes(folder, s, network)
    draw_light(folder, s)


def draw_refinement(folder: Path, s: Scenes, target: Target) -> None:
    assert target.alignment is not None and target.unrefined is not None
    flow, confidence = target.alignment
    warped, _ = warp(s.reference, flow)
    right = [
        f"{100 * float((labels == s.truth)[s.truth != 255].float().mean()):.0f} % right"
        for labels in (target.unrefined, target.pseudo.labels)
    ]
    save(
        folder,
        "refinement",
        ("reference, warped", f"teacher alone: {right[0]}", f"refined: {right[1]}"),
        (shown(warped[0]), painted(target.unrefined[0]), painted(target.pseudo.labels[0])),
        (heat(confidence[0, 0]), shown(s.night[0]), painted(s.truth[0])),
        lines=(
            "what the teacher says",
            "confidence of the alignment, the night picture, the truth (to measure with)",
        ),
    )


def draw_mixing(folder: Path, s: Scenes, method: DSRNSS, target: Target) -> None:
    drawn = method.generator.get_state()
    chosen = method.choose_classes(classes_present(s.labels))
    method.generator.set_state(drawn)  # so that the mix draws the same
    mask = class_masks(s.labels, chosen)[0]
    cut = torch.where(mask, s.day[0], normalise(torch.ones(3, 1, 1)))
    other = scenes(OTHER_DAY)
    method.bank.add(other.day, other.labels)
    kept = torch.where(method.bank.entries[0].mask[0], other.day[0], normalise(torch.ones(3, 1, 1)))
    mixed = method.mix({"image": s.day, "label": s.labels}, target, step=method.config.memory_bank.interval, epoch=0)
    save(
        folder,
        "mixing",
        ("half of the day's classes", "rare ones, from the memory bank", "pasted into the night"),
        (shown(cut), shown(kept), shown(mixed.images[0])),
        (painted(s.labels[0]), painted(target.pseudo.labels[0]), painted(mixed.labels[0])),
        lines=("pictures", "labels of the day picture, refined pseudo-labels of the night, labels of the mix"),
    )


def draw_prototypes(folder: Path, s: Scenes, network: Segmentor) -> None:
    day, night = network.encode(s.day)[-1], network.encode(s.night)[-1]
    size = (day.shape[2], day.shape[3])
    small = torch.nn.functional.interpolate(s.labels[:, None].float(), size, mode="nearest")[:, 0].long()
    prototypes, present = class_prototypes(day, small, CITYSCAPES.num_classes)
    likeness = similarities(prototypes, present, night)
    likeness = torch.nn.functional.interpolate(likeness, s.night.shape[-2:], mode="bilinear")[0]
    names = ("road", "sky")
    maps = [heat((likeness[CITYSCAPES.index(name)] - 0.2) / 0.8) for name in names]
    titles = ["night picture", *(f"how like the day's {name}" for name in names)]
    save(folder, "prototypes", titles, [shown(s.night[0]), *maps])


def draw_light(folder: Path, s: Scenes) -> None:
    generator = torch.Generator().manual_seed(4)
    matched = [
        match_to_night(s.day, s.night, NightAwareConfig(method=method, beta=0.02, probability=1.0), generator)
        for method in ("fda", "statistics", "histogram")
    ]
    save(
        folder,
        "night_aware",
        ("amplitudes (fda)", "statistics", "histogram"),
        [shown(image[0]) for image in matched],
        [shown(s.day[0]), shown(s.night[0])],
        lines=("the day picture, matched", "the day picture itself, and the night"),
    )
    config = RelightingConfig(probability=1.0)
    relit = [relight(s.day, s.labels, CITYSCAPES, config, generator)[0] for _ in range(3)]
    save(folder, "relighting", ("relit", "relit again", "and again"), [shown(image) for image in relit])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
