"""How good is a network on labelled pictures of other classes? Its own become theirs by name; one without counts wrong.

python benchmarks/foreign_classes.py MODEL --sets DAY_TEST NIGHT_VAL
"""

import argparse

import torch
from torch import Tensor

from dsrnss import load_pretrained
from dsrnss.automation.sets import labelled_set
from dsrnss.data.class_mapping import Names, map_classes
from dsrnss.data.loading import EvalView, collate
from dsrnss.metrics import ConfusionMatrix
from dsrnss.models.segmentor import Segmentor

NAMES: Names = {
    "wall": "building",
    "truck": "car",
    "bus": "car",
    "terrain": "tree",
    "traffic light": "sign",
    "bicycle": "bicyclist",
    "motorcycle": "bicyclist",
}
"""Beside equal names and synonyms: what CamVid's classes take in."""


@torch.no_grad()
def predicted(network: Segmentor, image: Tensor, size: tuple[int, int], table: Tensor) -> Tensor:
    """(1, H, W) the classes of the set."""
    logits = torch.nn.functional.interpolate(network.predict(image), size, mode="bilinear", align_corners=False)
    return table[logits.argmax(1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    read = load_pretrained(args.model)
    network, height = read.segmentor.eval(), int(read.card["image_height"])
    for word in args.sets:
        choice = labelled_set(word)
        dataset = choice.of_side(height).having(resize_label=False).build()
        space = dataset.label_space
        known = {ours: theirs for ours, theirs in NAMES.items() if theirs in space.names and ours not in space.names}
        mapping = map_classes(read.label_space, space, known)
        table = torch.from_numpy(mapping.table).long()
        # a class without a counterpart is a mistake wherever it is seen: it counts as the class that is not there
        table[table == 255] = space.num_classes
        confusion, view = ConfusionMatrix(space.num_classes + 1), EvalView(dataset)
        for index in range(len(dataset)):
            batch = collate([view[index]])
            label = batch["label"]
            confusion.update(predicted(network, batch["image"], tuple(label.shape[-2:]), table), label)
        counts = confusion.compute().numpy()[:, : space.num_classes + 1]
        right, truth = counts.diagonal()[:-1], counts.sum(1)[:-1]
        iou = right / (truth + counts.sum(0)[:-1] - right)
        print(f"{word}: mean IoU {100 * iou.mean():.1f}, pixels right {100 * right.sum() / truth.sum():.1f} %")
        print("  " + ", ".join(f"{name} {100 * value:.0f}" for name, value in zip(space.names, iou, strict=True)))


if __name__ == "__main__":
    main()
