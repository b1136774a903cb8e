import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dsrnss.data.sampling import ClassSampler, RareClassSampling, class_probabilities
from dsrnss.errors import ConfigError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "07_schedule_ema_optim_rcs.json").read_text())
TOTALS = Counter()
for _row in GOLDEN["rcs_input"]:
    TOTALS.update({int(c): n for c, n in _row.items() if c != "file"})


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_official_probabilities(temperature):
    classes, probabilities = class_probabilities(TOTALS, temperature, count_ignored=True)
    golden = GOLDEN[f"rcs_T{temperature}"]
    assert classes == golden["classes"]
    np.testing.assert_allclose(probabilities, golden["probs"], atol=1e-6)


def test_ignored_pixels_do_not_count_by_default():
    classes, probabilities = class_probabilities(TOTALS, 0.01)
    assert classes == [6, 12, 18, 5, 13, 1, 0]
    assert probabilities.sum() == pytest.approx(1.0)
    assert list(probabilities) == sorted(probabilities, reverse=True)


def test_draws_follow_the_probabilities_and_images_hold_the_class():
    counts = np.zeros((4, 19), np.int64)
    counts[:, 0] = 2_000_000
    counts[1, 6] = 20_000
    counts[2, 12] = 3000  # not above the limit: the class is dropped
    counts[3, 6], counts[3, 11] = 100, 30_000
    sampler = ClassSampler(counts, RareClassSampling(temperature=0.5), (1024, 2048))
    assert sampler.classes == [6, 11, 0]
    assert sampler.probabilities.sum() == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    draws = [sampler.draw(rng) for _ in range(3000)]
    assert {i for c, i in draws if c == 6} == {1}
    assert {i for c, i in draws if c == 0} == {0, 1, 2, 3}
    shares = [sum(c == k for c, _ in draws) / 3000 for k in sampler.classes]
    np.testing.assert_allclose(shares, sampler.probabilities, atol=0.03)


def test_limits_are_the_published_ones_at_official_sizes_and_scale_elsewhere():
    half, full = RareClassSampling(), RareClassSampling(min_crop_ratio=2.0)
    assert half.image_limit((1024, 2048)) == 3000
    assert half.crop_limit((512, 1024)) == 1500
    assert full.crop_limit((1024, 2048)) == 6000
    assert half.crop_limit((256, 512)) == 375
    assert half.image_limit((256, 512)) == pytest.approx(187.5)


def test_settings_and_empty_sets_are_refused_with_the_option_to_change():
    with pytest.raises(ConfigError, match="temperature"):
        RareClassSampling(temperature=0)
    with pytest.raises(ConfigError, match="min_pixels"):
        ClassSampler(np.ones((3, 19), np.int64), RareClassSampling(), (1024, 2048))
