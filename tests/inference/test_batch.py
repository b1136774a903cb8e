"""Many pictures: what does not fit into memory as a batch."""

import weakref
from pathlib import Path

import numpy as np
from PIL import Image

from dsrnss.inference.batch import segment_pictures
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.summary import Journal, Summary


class Activations:
    """What a network holds while it computes."""


def test_pictures_one_by_one_have_the_memory_of_the_batch(segmenter: Segmenter, tmp_path: Path, monkeypatch) -> None:
    held: list[weakref.ref[Activations]] = []
    whole = segmenter.engine.scores

    def scores(pictures, window):
        assert not any(one() for one in held), "the batch that did not fit holds its memory"
        activations = Activations()
        held.append(weakref.ref(activations))
        if len(pictures) > 1:
            raise MemoryError("CUDA out of memory")
        return whole(pictures, window)

    monkeypatch.setattr(segmenter.engine, "scores", scores)
    files = [(tmp_path / f"{name}.png", name) for name in "abc"]
    for file, _ in files:
        Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(file)
    summary = Summary("", "student", "cuda", [])
    with Journal(tmp_path, {}) as journal:
        segment_pictures(segmenter, files, tmp_path / "out", summary, journal, batch_size=3)
    assert [Path(one.picture).stem for one in summary.pictures] == ["a", "b", "c"] and not summary.failures
    assert len(held) == 4
