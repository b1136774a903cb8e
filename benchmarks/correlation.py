"""The aligner's local correlation and uncertainty decoder beside plain versions of the same, and its peak memory.

Usage: `python benchmarks/correlation.py [--threads 1] [--repeats 3] [--network 1080 1920]`. Times are CPU seconds, the
best of the repeats, both sides in turn; the ratio is ours over plain. `--network H W` aligns one pair of that size
instead and prints the peak memory of the process.
"""

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.adaptation.alignment.correlation import local_correlation
from dsrnss.adaptation.alignment.uawarpc import UAWarpCAligner
from dsrnss.adaptation.alignment.uawarpc_decoders import UncertaintyDecoder

CORRELATIONS = {
    "512x512, 1/4": (128, 128, 128),
    "512x512, 1/8": (256, 64, 64),
    "32x32": (256, 32, 32),
    "1080x1920, 1/4": (128, 270, 480),
    "1080x1920, 1/8": (256, 135, 240),
}

DECODERS = {"512x512, 1/4": (128, 128), "1080x1920, 1/8": (135, 240), "1080x1920, 1/4": (270, 480)}


def shift_loop(target: Tensor, reference: Tensor, radius: int = 4) -> Tensor:
    """Local correlation, one shift at a time."""
    batch, _, height, width = target.shape
    size = 2 * radius + 1
    padded = F.pad(reference, (radius,) * 4)
    correlation = target.new_empty(batch, size * size, height, width)
    for shift in range(size * size):
        row, column = divmod(shift, size)
        moved = padded[:, :, row : row + height, column : column + width]
        correlation[:, shift] = (target * moved).sum(1)
    return correlation


def read_at_once(decoder: UncertaintyDecoder, correlation: Tensor) -> Tensor:
    """The uncertainty decoder's view of each pixel's correlations, all pixels in one batch."""
    batch, _, height, width = correlation.shape
    pixels = correlation.permute(0, 2, 3, 1).reshape(-1, 1, decoder.size, decoder.size)
    return decoder.read_patches(pixels).view(batch, height * width, 6).mT.reshape(batch, 6, height, width)


def compare(name: str, plain: Callable[[], Tensor], ours: Callable[[], Tensor], repeats: int) -> None:
    """Print one row of the table."""
    times: list[list[float]] = [[], []]
    results = []
    for _ in range(repeats):
        for side, function in enumerate((plain, ours)):
            begin = time.process_time()
            results.append(function())
            times[side].append(time.process_time() - begin)
    difference = (results[-1] - results[-2]).abs().max() / results[-2].abs().max()
    of_plain, of_ours = (min(side) for side in times)
    print(f"| {name} | {of_plain:.3f} | {of_ours:.3f} | {of_ours / of_plain:.2f} | {difference:.1e} |", flush=True)


def align(height: int, width: int) -> None:
    """Align one pair and print what it took."""
    aligner = UAWarpCAligner("random", "random")
    aligner.load()
    images = torch.rand(2, 1, 3, height, width)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    begin = time.process_time()
    aligner(images[0], images[1])
    seconds = time.process_time() - begin
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{height}x{width}: {seconds:.1f} s of CPU, peak memory {after:.2f} GiB ({peak:.2f} GiB before the call)")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--network", type=int, nargs=2, metavar=("H", "W"), help="align one pair of this size instead")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.network:
        return align(*args.network)
    print("| what | plain s | ours s | ratio | relative difference |\n|---|---|---|---|---|")
    for name, shape in CORRELATIONS.items():
        target, reference = (F.normalize(torch.randn(1, *shape), dim=1) for _ in range(2))
        compare(
            f"correlation {name}, {shape[0]} channels",
            partial(shift_loop, target, reference),
            partial(local_correlation, target, reference),
            args.repeats,
        )
    decoder = UncertaintyDecoder(9, 35).eval()
    for name, (height, width) in DECODERS.items():
        correlation = torch.rand(1, 81, height, width)
        compare(
            f"uncertainty {name}",
            partial(read_at_once, decoder, correlation),
            partial(decoder.read, correlation),
            args.repeats,
        )


if __name__ == "__main__":
    main()
