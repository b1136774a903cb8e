"""Does the score without labels tell which network is better? Its rank correlation with the mean IoU.

    dsrnss fit --config RUN/config.yaml --checkpoint.save_top_k -1 --checkpoint.every_n_train_steps 40
    python benchmarks/label_free.py lightning_logs/config/version_0/checkpoints/*.ckpt --night NIGHT --val NIGHT_VAL

Every network is scored on the labelled pictures of --val, and without labels on those of --night; `agreement` is the
plain share of pixels that keep their class on changed views.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dsrnss import load_pretrained
from dsrnss.automation.sets import labelled_set, night_set
from dsrnss.data import SynthNight
from dsrnss.data.base import SegmentationDataset
from dsrnss.training.evaluation import evaluate
from dsrnss.training.label_free import VIEWS, label_free, night_pictures

Row = dict[str, float | str]


def measure(path: str, night: SegmentationDataset, val: SegmentationDataset, pictures: int) -> Row:
    """All numbers of one network."""
    network = load_pretrained(path).segmentor
    images = list(night_pictures(night, pictures))
    found = label_free(network, images, network.config.num_classes)
    return {
        "network": path,
        "mean IoU": evaluate(network, val, 1).mean_iou,
        "consistency": found.consistency,
        "information": found.information,
        "score": found.score,
        "confidence": found.confidence,
        "agreement": agreement(network, images),
    }


@torch.inference_mode()
def agreement(network: torch.nn.Module, images: Sequence[torch.Tensor]) -> float:
    """Share of the pixels that keep their class on changed views."""
    kept = []
    for image in images:
        labels = network.predict(image).argmax(1)  # type: ignore[operator]
        for change, back in VIEWS:
            logits = back(network.predict(change(image)))  # type: ignore[operator]
            logits = torch.nn.functional.interpolate(logits, labels.shape[-2:], mode="bilinear")
            kept.append(float((logits.argmax(1) == labels).float().mean()))
    return float(np.mean(kept))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's."""
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="checkpoints or models; or JSON files that --out wrote")
    parser.add_argument("--night", help="pictures without labels; left out: SynthNight's target")
    parser.add_argument("--val", help="labelled pictures; left out: SynthNight's val")
    parser.add_argument("--size", type=int, default=0, help="shorter side of the pictures")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the numbers there")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.night is None:
        night, val = SynthNight("target"), SynthNight("val")
    else:
        night = night_set(args.night).of_side(args.size).build()
        val = labelled_set(args.val).having(resize_label=False).of_side(args.size).build()
    rows: list[Row] = []
    for path in args.networks:
        rows += json.loads(Path(path).read_text()) if path.endswith(".json") else []
        if not path.endswith(".json"):
            rows.append(measure(path, night, val, args.pictures))
            print(", ".join(f"{key} {v if isinstance(v, str) else f'{100 * v:.1f}'}" for key, v in rows[-1].items()))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    for key in ("score", "consistency", "information", "confidence", "agreement"):
        found = rank_correlation([float(row[key]) for row in rows], [float(row["mean IoU"]) for row in rows])
        print(f"rank correlation of {key} with the mean IoU over {len(rows)} networks: {found:+.2f}")


if __name__ == "__main__":
    main()
