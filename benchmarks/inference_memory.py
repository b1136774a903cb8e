"""Peak memory of inference at 1080 x 1920 with the largest network: HRDA on MiT-B5, windows of 1080, stride 420.

    python benchmarks/inference_memory.py [--window-batch 1] [--no-hrda] [--size 1080 1920]

Prints one line: what ran, and the greatest resident memory of the process, which Python and torch are part of.
"""

import argparse
import resource
import time

import torch

from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mit_b5")
    parser.add_argument("--hrda", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--size", type=int, nargs=2, default=[1080, 1920])
    parser.add_argument("--window-batch", type=int, default=1)
    args = parser.parse_args()
    network = build_segmentor(NetworkConfig(args.backbone, hrda=args.hrda)).eval()
    started = time.process_time()
    with torch.inference_mode():
        logits = network.predict(
            torch.randn(1, 3, *args.size), "slide", (1080, 1080), (420, 420), window_batch=args.window_batch
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    what = f"{args.backbone}{' HRDA' if args.hrda else ''}, {tuple(logits.shape)}, window batch {args.window_batch}"
    print(f"{what}: peak {peak:.2f} GiB, {time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
