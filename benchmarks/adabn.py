"""A control for the demo: how far batch-norm statistics of the night alone bring the source network (AdaBN).

Usage: `python benchmarks/adabn.py`. No weight is trained; the statistics of all batch norms are gathered anew on target
images, without labels. What the adaptation gains beyond this it has learned.
"""

import argparse

import torch
from torch.nn import BatchNorm2d

from dsrnss.data.loading import EvalView
from dsrnss.data.synthnight.dataset import SynthNight
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import DEMO_MODEL, load_pretrained
from dsrnss.training.evaluation import evaluate


@torch.no_grad()
def recalibrate(network: Segmentor, target: SynthNight, batch_size: int = 16) -> None:
    """Average the batch-norm statistics over all target images."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    view = EvalView(target)
    for first in range(0, len(target), batch_size):
        indices = range(first, min(first + batch_size, len(target)))
        network(torch.stack([view[index]["image"] for index in indices]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="target images to gather statistics on")
    args = parser.parse_args()
    network = load_pretrained(DEMO_MODEL).segmentor
    test = SynthNight("test", length=100, cache=True)
    print("| network | mIoU | dynamic+small |\n|---|---|---|")
    for name in ("source-only", "source-only, AdaBN"):
        if name != "source-only":
            recalibrate(network, SynthNight("target", length=args.images, references=False))
        found = evaluate(network, test)
        print(f"| {name} | {100 * found.mean_iou:.1f} | {100 * found.mean_iou_dynamic_small:.1f} |", flush=True)


if __name__ == "__main__":
    main()
