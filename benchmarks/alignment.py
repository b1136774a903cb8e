"""How well the aligners without weights find the true flow from night to day on SynthNight.

Usage: `python benchmarks/alignment.py [--pairs 40] [--seeds 0] [--size 192 384]`. Errors are counted on
static pixels that both pictures show; labels agree where the warped day label equals the night label, both static.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from dsrnss.adaptation.alignment.classical import align_pair
from dsrnss.data.synthnight import SynthScene, generate
from dsrnss.labels import CITYSCAPES

Array = npt.NDArray[np.generic]
Aligner = Callable[[Array, Array], tuple[Array, Array]]


def identity(night: Array, day: Array) -> tuple[Array, Array]:
    """No motion, full confidence."""
    return np.zeros((*night.shape[:2], 2), np.float32), np.ones(night.shape[:2], np.float32)


def agreement(scene: SynthScene, flow: Array) -> tuple[Array, Array]:
    """Where the warped label agrees, and where both labels are static."""
    rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    warped = cv2.remap(scene.reference_label, x, y, cv2.INTER_NEAREST, borderValue=255)
    first = min(CITYSCAPES.dynamic)
    return warped == scene.label, (scene.label < first) & (warped < first)


def row(aligner: Aligner, scenes: list[SynthScene]) -> list[str]:
    """The measured cells of one aligner on some scenes."""
    errors, confidences, agreed, sure = [], [], [], []
    start = time.process_time()
    results = [aligner(scene.image, scene.reference) for scene in scenes]
    spent = 1000 * (time.process_time() - start) / len(scenes)
    for scene, (flow, confidence) in zip(scenes, results, strict=True):
        errors.append(np.linalg.norm(flow - scene.flow, axis=-1)[scene.flow_valid])
        confidences.append(confidence[scene.flow_valid])
        equal, static = agreement(scene, flow)
        agreed.append(equal[static])
        sure.append(equal[static & (confidence > 0.5)])
    error, confident = np.concatenate(errors), np.concatenate(confidences) > 0.5
    return [
        f"{np.median(error):.2f} px",
        f"{(error < 3).mean():.0%}",
        f"{confident.mean():.0%}",
        f"{np.median(error[confident]):.2f} px",
        f"{np.concatenate(agreed).mean():.1%}",
        f"{np.concatenate(sure).mean():.1%}",
        f"{spent:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="pairs of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="SynthNight's seeds, a line for each")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 384), metavar=("H", "W"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(
        "| seed | aligner | median error | < 3 px | confident | error there | labels agree | where confident | CPU ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in args.seeds:
        scenes = [generate("target", index, seed=seed, size=tuple(args.size)) for index in range(args.pairs)]
        for name, aligner in (("identity", identity), ("classical", align_pair)):
            print(f"| {seed} | {name} | {' | '.join(row(aligner, scenes))} |", flush=True)


if __name__ == "__main__":
    main()
