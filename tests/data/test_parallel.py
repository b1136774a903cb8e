import os
import signal

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from dsrnss.data.base import histogram
from dsrnss.data.parallel import parallel_map
from dsrnss.errors import DataError


def power(base, exponent):
    return base**exponent


def fail_at_three(_, item):
    if item == 3:
        raise DataError("number 3 is damaged")
    return item


def die(_, item):
    os.kill(os.getpid(), signal.SIGKILL)


def threads(_, item):
    return torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order_with_progress(workers):
    seen = []
    assert parallel_map(power, 2, range(20), workers=workers, progress=lambda *a: seen.append(a)) == [
        2**i for i in range(20)
    ]
    assert seen == [(i + 1, 20) for i in range(20)]
    assert parallel_map(power, 2, [], workers=workers) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_keep_type_and_words(workers):
    with pytest.raises(DataError, match=r"^number 3 is damaged$"):
        parallel_map(fail_at_three, None, range(6), workers=workers)


def test_a_killed_process_is_explained():
    with pytest.raises(DataError, match="out of memory"):
        parallel_map(die, None, range(4), workers=2)


def test_processes_use_one_thread():
    with threadpool_limits(2, "blas"):
        assert parallel_map(threads, None, range(2), workers=2) == [(1, {1})] * 2


def test_histogram_counts_any_cut():
    labels = np.random.default_rng(0).integers(0, 256, (50, 70), np.uint8)
    for cut in (labels, labels[3:20, 10:33], labels[:0]):
        assert histogram(cut).tolist() == np.bincount(cut.ravel(), minlength=256).tolist()
    assert histogram(labels, 19).shape == (19,)
