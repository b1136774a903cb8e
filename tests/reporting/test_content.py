import math

import numpy as np
import pytest

from dsrnss.errors import ConfigError
from dsrnss.labels import LabelSpace
from dsrnss.reporting.content import ModelScores

SPACE = LabelSpace(("road", "car", "tram"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), dynamic=(1, 2), small=(2,))


def test_scores_of_a_confusion_matrix_worked_by_hand():
    scores = ModelScores.from_confusion("net", [[6, 2, 0], [1, 3, 0], [0, 0, 0]], SPACE)
    assert scores.iou[:2] == pytest.approx([6 / 9, 3 / 6])
    assert math.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores.mean_iou_dynamic == pytest.approx(0.5)
    assert math.isnan(scores.mean_iou_small)
    assert scores.pixel_accuracy == pytest.approx(9 / 12)


def test_a_class_only_ever_predicted_counts_as_zero():
    scores = ModelScores.from_confusion("net", [[6, 0, 2], [0, 4, 0], [0, 0, 0]], SPACE)
    assert scores.iou[2] == 0
    assert scores.mean_iou == pytest.approx((6 / 8 + 1 + 0) / 3)


def test_nothing_seen_gives_no_number():
    scores = ModelScores.from_confusion("net", np.zeros((3, 3)), SPACE)
    assert math.isnan(scores.mean_iou)
    assert math.isnan(scores.pixel_accuracy)


def test_wrong_shapes_are_named():
    with pytest.raises(ConfigError, match=r"'net'.*\(3,\)"):
        ModelScores.from_iou("net", [0.1, 0.2], 0.5, SPACE)
    with pytest.raises(ConfigError, match="3 classes"):
        ModelScores.from_confusion("net", np.zeros((2, 2)), SPACE)


def test_a_report_needs_both_networks(make_report):
    scores = dict(make_report().scores)
    del scores["adapted"]
    with pytest.raises(ConfigError, match="adapted"):
        make_report(scores=scores)


def test_gap_closed_is_the_share_of_the_way_to_the_oracle(make_report):
    def scored(mean):
        return ModelScores("net", np.full(19, mean), mean, mean, mean, mean)

    scores = {"source-only": scored(0.3), "adapted": scored(0.36), "oracle": scored(0.5)}
    assert make_report(scores=scores).gap_closed == pytest.approx(0.3)
    assert math.isnan(make_report(scores=scores | {"oracle": scored(0.2)}).gap_closed)
    assert math.isnan(make_report().gap_closed)
