"""The numbers of papers and servers, from one confusion matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.metrics import ConfusionMatrix, scores
from dsrnss.training.evaluation import count_batch

TWO = LabelSpace(names=("road", "car"), palette=((0, 0, 0), (1, 1, 1)), dynamic=(1,))


def measure(predictions, labels, space=CITYSCAPES, **more):
    confusion = ConfusionMatrix(space.num_classes)
    confusion.update(torch.as_tensor(predictions), torch.as_tensor(labels), **more)
    return scores(confusion.compute().numpy(), space)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20), present=st.integers(2, 19))
def test_iou_equals_the_official_evaluation(tmp_path_factory, seed, present):
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    from cityscapesscripts.helpers.labels import id2label
    from PIL import Image

    rng = np.random.default_rng(seed)
    raw = np.array(sorted(CITYSCAPES.raw_ids))
    # raw ids that are no class are ignored by both, wherever they are in the truth
    truth = rng.choice([*raw[:present], 0, 4, 14], (2, 24, 36)).astype(np.uint8)
    guess = rng.choice(raw, (2, 24, 36)).astype(np.uint8)
    folder = tmp_path_factory.mktemp("eval")
    names = []
    for i in range(2):
        for kind, pixels in (("guess", guess), ("gtFine_labelIds", truth)):
            Image.fromarray(pixels[i]).save(folder / f"{i}_{kind}.png")
        names.append((str(folder / f"{i}_guess.png"), str(folder / f"{i}_gtFine_labelIds.png")))
    args = official.args
    args.evalLabels = [i for i, label in id2label.items() if i >= 0]
    args.evalInstLevelScore = args.evalPixelAccuracy = args.normalized = False
    matrix = official.generateMatrix(args)
    for pair in names:
        official.evaluatePair(*pair, matrix, {}, {}, args)
    expected = {i: official.getIouScoreForLabel(i, matrix, args) for i in raw}

    ours = measure(CITYSCAPES.raw_table()[guess], CITYSCAPES.raw_table()[truth])
    theirs = np.array([expected[i] for i in raw])
    np.testing.assert_allclose(ours.iou, theirs, rtol=0, atol=1e-9, equal_nan=True)
    average = official.getScoreAverage({i: expected[i] for i in raw}, args)
    assert abs(np.nanmean(ours.iou) - average) < 1e-9
    assert abs(ours.mean_iou - np.nan_to_num(theirs).mean()) < 1e-9
    assert abs(ours.mean_iou_present - theirs[:present].mean()) < 1e-9


def test_uiou_of_a_case_counted_by_hand():
    #               TP   TP  FN(FP)  TI   FI   TP     void
    labels = [[[0, 0, 0, 0, 0, 1, 1, 1, 255, 255]]]
    predictions = [[[0, 0, 1, 0, 0, 1, 0, 1, 0, 1]]]
    confidence = [[[0.9, 0.5, 0.9, 0.1, 0.1, 0.9, 0.2, 0.6, 0.1, 0.9]]]
    invalid = [[[0, 1, 0, 1, 0, 0, 1, 1, 1, 0]]]
    found = measure(predictions, labels, TWO, confidence=torch.tensor(confidence), invalid=torch.tensor(invalid))
    # road: TP 2, TI 1, FP 0, FN 1, FI 1; car: TP 2, TI 1, FP 1, FN 0, FI 0
    assert found.uiou.tolist() == pytest.approx([3 / 5, 3 / 4])
    assert found.mean_uiou == found.summary()["UIoU"] == pytest.approx((3 / 5 + 3 / 4) / 2)
    # road: TP 4, FP 1, FN 1; car: TP 2, FP 1, FN 1
    assert found.iou.tolist() == pytest.approx([4 / 6, 2 / 4])


def test_uiou_is_the_iou_where_nothing_is_declared_invalid():
    rng = torch.Generator().manual_seed(0)
    predictions, labels = torch.randint(0, 19, (2, 2, 8, 8), generator=rng)
    more = {"confidence": torch.ones(2, 8, 8), "invalid": torch.rand(2, 8, 8, generator=rng) < 0.3}
    found = measure(predictions, labels, **more)
    np.testing.assert_array_equal(found.uiou, found.iou)
    assert measure(predictions, labels).uiou is None
    assert "UIoU" not in measure(predictions, labels).summary()


def test_absent_classes_count_zero_in_the_official_mean_only():
    found = measure([[[0, 0, 13, 13]]], [[[0, 0, 13, 255]]])
    assert found.mean_iou == pytest.approx(2 / 19) and found.mean_iou_present == 1
    assert found.mean_iou_dynamic == pytest.approx(1 / 8) and found.mean_iou_small == 0
    assert found.pixel_accuracy == 1 and found.confusion.sum() == 3
    assert np.isnan(found.iou[1]) and found.iou[13] == 1


def test_a_class_that_is_only_predicted_counts_zero_and_a_group_without_classes_has_no_mean():
    found = measure([[[0, 0, 1]]], [[[0, 0, 0]]], TWO)
    assert found.iou.tolist() == pytest.approx([2 / 3, 0]) and found.mean_iou == pytest.approx(1 / 3)
    assert found.mean_iou_dynamic == 0 and np.isnan(found.mean_iou_small)


def test_nothing_labelled_is_no_division_by_zero():
    found = measure([[[0]]], [[[255]]])
    assert found.mean_iou == 0 and found.pixel_accuracy == 0


def test_parts_counted_by_several_processes_sum_to_the_whole():
    rng = torch.Generator().manual_seed(1)
    predictions, labels = torch.randint(0, 19, (2, 5, 6, 7), generator=rng)
    whole = ConfusionMatrix(19)
    whole.update(predictions, labels)
    parts = [ConfusionMatrix(19) for _ in range(2)]
    for index in range(5):
        parts[index % 2].update(predictions[index : index + 1], labels[index : index + 1])
    assert torch.equal(parts[0].compute() + parts[1].compute(), whole.compute())


class Fixed:
    """Stands for a network whose logits are given."""

    def __init__(self, logits):
        self.logits = logits

    def predict(self, images):
        return self.logits


def test_the_confidence_is_that_of_the_softmax_at_the_size_of_the_label():
    logits = torch.zeros(1, 2, 2, 2)
    logits[:, 0] = 0.1  # 0.525 road
    batch = {"image": torch.zeros(1, 3, 2, 2), "label": torch.zeros(1, 4, 4, dtype=torch.long)}
    batch["invalid"] = torch.ones(1, 4, 4, dtype=torch.bool)
    for threshold, invalid in ((0.52, 0), (0.53, 16)):
        confusion = ConfusionMatrix(2, threshold)
        count_batch(Fixed(logits), batch, confusion)
        assert confusion.compute()[0].tolist() == [16, 0, 16 - invalid, 0, invalid, 0]
