"""ONNX Runtime against PyTorch on the CPU: the same network, the same pictures, the same threads.

    OMP_NUM_THREADS=1 python benchmarks/onnx_speed.py [--networks demo lite0_synthnight mit_b0 mit_b0-hrda]

Both take turns in one process; which is first changes every time. Prints the medians in wall and processor time of a
picture at the size that `dsrnss segment` works at, their ratio, and the share of the pixels of which both give the same
class. With one thread the processor's time also counts on a busy machine.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from dsrnss.data import SynthNight
from dsrnss.inference.engine import Engine
from dsrnss.inference.export import export
from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor


def segmenter(name: str, height: int | None) -> Segmenter:
    """A packaged network, or one that has learned nothing, such as `mit_b0` and `mit_b0-hrda`."""
    if name == "demo" or "_synthnight" in name:
        return Segmenter.from_pretrained(None if name == "demo" else name, device="cpu", height=height)
    backbone, _, hrda = name.partition("-")
    network = build_segmentor(NetworkConfig(backbone, hrda=bool(hrda)))
    return Segmenter(network, CITYSCAPES, device="cpu", height=height)


def turn(engine: Engine, pictures: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Wall time and processor time in milliseconds, and the classes."""
    wall, processor = time.perf_counter(), time.process_time()
    scores = engine.scores(pictures, None)
    times = 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)
    return *times, engine.to_numpy(scores).argmax(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["demo", "lite0_synthnight", "mit_b0", "mit_b0-hrda"])
    parser.add_argument("--height", type=int, help="of the picture, instead of that which the network was trained at")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    print(f"{os.environ['OMP_NUM_THREADS']} threads; milliseconds a picture, medians of {args.rounds} turns")
    for name in args.networks:
        by_torch = segmenter(name, args.height)
        with tempfile.TemporaryDirectory() as folder:
            export(by_torch, Path(folder) / "model.onnx", "onnx")
            by_onnx = Segmenter.from_onnx(Path(folder) / "model.onnx", device="cpu")
        size = by_torch.working_size((512, 1024))
        pictures = SynthNight("val", length=1, size=size, references=False)[0]["image"].permute(1, 2, 0)[None].numpy()
        engines = [by_torch.engine, by_onnx.engine]
        found: list[list[tuple[float, float, np.ndarray]]] = [[], []]
        for number in range(-2, args.rounds):  # the first ones allocate
            for which in (0, 1) if number % 2 else (1, 0):
                found[which].append(turn(engines[which], pictures))
        wall, processor = ([median(one[kind] for one in turns[2:]) for turns in found] for kind in (0, 1))
        same = (found[0][0][2] == found[1][0][2]).mean()
        print(
            f"{name:18} {size[0]:4} x {size[1]:4}  wall {wall[0]:7.1f} {wall[1]:7.1f} ({wall[1] / wall[0]:.2f})  "
            f"processor {processor[0]:7.1f} {processor[1]:7.1f} ({processor[1] / processor[0]:.2f})  same {same:.4%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
