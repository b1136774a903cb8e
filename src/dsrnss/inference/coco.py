"""Segmentations in the JSON of COCO: one annotation a class, as a run-length mask that pycocotools reads."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dsrnss.inference.results import Segmentation


def coco_document(segmentation: "Segmentation", file_name: str) -> dict[str, Any]:
    """One picture as a whole document.

    Args:
        segmentation: Its labels.
        file_name: Of the picture.

    Returns:
        `images`, `annotations` and `categories`; the id of a category is that of the class plus one, as COCO counts.
    """
    labels = segmentation.labels
    height, width = labels.shape
    annotations: list[dict[str, Any]] = []
    for number in np.flatnonzero(np.bincount(labels.ravel())):
        mask = labels == number
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": 1,
                "category_id": int(number) + 1,
                "segmentation": {"size": [height, width], "counts": _run_lengths(mask)},
                "area": int(mask.sum()),
                "bbox": [int(side) for side in box],
                "iscrowd": 0,
            }
        )
    names = segmentation.label_space.names
    return {
        "images": [{"id": 1, "file_name": file_name, "width": width, "height": height}],
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(names)],
    }


def merged(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Documents of single pictures with the same categories as one document."""
    whole: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    for number, document in enumerate(documents, 1):
        whole["categories"] = document["categories"]
        whole["images"] += [{**image, "id": number} for image in document["images"]]
        for annotation in document["annotations"]:
            own = {"id": len(whole["annotations"]) + 1, "image_id": number}
            whole["annotations"].append({**annotation, **own})
    return whole


def _run_lengths(mask: Any) -> list[int]:
    """Lengths of runs of a mask, column by column; the first is one of zeros."""
    values = np.concatenate(([False], mask.ravel(order="F")))
    turns = np.flatnonzero(values[1:] != values[:-1])
    lengths: list[int] = np.diff(np.concatenate(([0], turns, [mask.size]))).tolist()
    return lengths
