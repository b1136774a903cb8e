"""The motion of a street: its derivative is right, and known parameters are found again."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from dsrnss.adaptation.alignment import classical_street
from dsrnss.adaptation.alignment.classical_street import (
    CENTRE,
    SPREAD,
    fit_street,
    rays,
    street_derivative,
    street_flow,
)
from dsrnss.adaptation.alignment.classical_structure import grid, oriented_structure, sample, working_size
from dsrnss.data.synthnight import generate


def test_derivative_is_the_difference_quotient() -> None:
    rng = np.random.default_rng(0)
    parameters = (CENTRE + 0.5 * SPREAD * rng.standard_normal(CENTRE.size)).astype(np.float32)
    x, y = rays(48, 96, step=4)
    motion, derivative = street_derivative(parameters, x, y)
    for k in range(CENTRE.size):
        step = np.zeros_like(CENTRE)
        step[k] = 1e-3
        difference = (street_derivative(parameters + step, x, y)[0] - motion) / 1e-3
        assert np.median(np.abs(difference - derivative[:, k])) < 2e-3


def test_plain_street_does_not_move() -> None:
    assert np.abs(street_flow(CENTRE, 40, 60)).max() < 1e-4


def test_ground_below_the_horizon_comes_closer_and_the_sky_stays() -> None:
    forward = CENTRE.copy()
    forward[5] = -0.8
    flow = street_flow(forward, 96, 192)
    assert flow[-1, 96, 1] > 5, "the road flows out of the picture"
    assert abs(flow[48, 96, 1]) < 1, "what is far away stays"


@pytest.mark.parametrize("size", [(192, 384), (270, 270)])
def test_known_motion_is_found_again(size: tuple[int, int]) -> None:
    reference = generate("source", 1, size=size).image
    true = CENTRE + np.array([0.004, 0.015, 0, 0.15, 0, -0.5, 0.02, 0, 0, 0, 0, 0], np.float32)
    flow = street_flow(true, *size)
    moved = sample(reference.astype(np.float32), grid(*size) + flow).astype(np.uint8)
    found = fit_street(oriented_structure(moved, 1.0), oriented_structure(reference, 1.0))
    error = np.linalg.norm(street_flow(found, *size) - flow, axis=-1)
    assert np.median(error) < 1 < np.median(np.linalg.norm(flow, axis=-1))


def test_working_size_keeps_proportions() -> None:
    assert working_size(192, 384) == (192, 384)
    assert working_size(1080, 1920) == (204, 362)
    assert min(working_size(32, 4000)) >= 32


def test_small_products_use_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    seen: list[set[int]] = []
    step = classical_street._step
    monkeypatch.setattr(classical_street, "_step", lambda *given: seen.append(threads()) or step(*given))
    structure = oriented_structure(generate("target", 0, size=(64, 128)).image, 1.0)
    with threadpool_limits(2, "blas"):
        fit_street(structure, structure)
        assert threads() == {2}
    assert seen and all(each == {1} for each in seen)
