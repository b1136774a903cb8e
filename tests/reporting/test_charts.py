import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrnss.reporting.charts import HEIGHT, WIDTH, build_charts, nice_ticks, running_mean
from dsrnss.reporting.content import Curve


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_enclose_the_range_and_are_few(low, span):
    ticks = nice_ticks(low, low + span)
    assert ticks[0] <= low + 1e-6 * abs(low) + 1e-6 * span
    assert ticks[-1] >= (low + span) - 1e-6 * abs(low) - 1e-6 * span
    assert 2 <= len(ticks) <= 8


def test_ticks_are_round_numbers():
    assert nice_ticks(0.0, 1.9) == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert nice_ticks(31.0, 44.0) == [30, 35, 40, 45]


def test_running_mean_keeps_ends_and_constants():
    assert running_mean(np.array([1.0, 2.0, 6.0]), 1) == pytest.approx([1.5, 3.0, 4.0])
    assert running_mean(np.full(50, 3.0), 4) == pytest.approx(np.full(50, 3.0))


def test_curves_share_a_chart_by_group_and_stay_inside():
    rng = np.random.default_rng(0)
    noisy = [(step, 1 + rng.normal()) for step in range(2000)] + [(2000, 1e9), (2001, float("nan"))]
    charts = build_charts(
        [Curve("a", "", noisy), Curve("m", "%", [(0, 30.0), (9, 31.0)], "miou"), Curve("b", "", noisy)]
    )
    assert [(chart.title, len(chart.lines)) for chart in charts] == [
        ("Training loss", 2),
        ("Mean IoU while training", 1),
    ]
    for line in (line for chart in charts for line in chart.lines):
        points = [tuple(map(float, pair.split(","))) for pair in line.points.split()]
        assert 2 <= len(points) <= 300
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert charts[1].lines[0].last == "31.0 %"
    assert "m from 30.0 % to 31.0 %" in charts[1].description
