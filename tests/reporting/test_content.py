import dataclasses
import math

import numpy as np
import pytest

from dsrnss.errors import ConfigError


def test_a_report_needs_both_networks(make_report):
    scores = dict(make_report().scores)
    del scores["adapted"]
    with pytest.raises(ConfigError, match="adapted"):
        make_report(scores=scores)


def test_scores_of_other_classes_are_named(make_report, make_scores):
    scores = dict(make_report().scores)
    scores["oracle"] = dataclasses.replace(make_scores(np.ones(19)), iou=np.ones(3))
    with pytest.raises(ConfigError, match=r"'oracle'.*19 classes"):
        make_report(scores=scores)


def test_gap_closed_is_the_share_of_the_way_to_the_oracle(make_report, make_scores):
    def scored(mean):
        return make_scores(np.full(19, mean))

    scores = {"source-only": scored(0.3), "adapted": scored(0.36), "oracle": scored(0.5)}
    assert make_report(scores=scores).gap_closed == pytest.approx(0.3)
    assert math.isnan(make_report(scores=scores | {"oracle": scored(0.2)}).gap_closed)
    assert math.isnan(make_report().gap_closed)
