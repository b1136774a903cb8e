"""Settings shared by all tests."""

import contextlib
import gc
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# the setting of glibc itself: else the first training in this process lets it keep the memory of all tests to come
os.environ.setdefault("MALLOC_TOP_PAD_", "131072")

import pytest
import torch
from hypothesis import settings
from lightning.fabric.utilities.rank_zero import rank_zero_only

from dsrnss import machine

CHROMIUM = Path("/usr/bin/chromium")
LARGEST_TEST, MUCH = 5 * 2**30, 2 * 2**30
"""Bytes that the largest test needs, and above which what tests left is sought."""

# tests that are started in the background inherit that Ctrl-C is ignored; the commands that they start must not
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# one thread: the pictures of the tests are too small for two, and results do not depend on the machine
torch.set_num_threads(1)
# rendering and the first call of torch are slow now and then; that is no failure
settings.register_profile("dsrnss", deadline=None, print_blob=True)
settings.load_profile("dsrnss")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes of `pytest -n auto`: one a core, where memory allows each the largest test; no more than eight."""
    cores, memory = machine.available_cores(), machine.memory()
    return max(1, min(cores, 8, cores if memory is None else memory // LARGEST_TEST))


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, _cache: Path) -> None:
    """Tests never see the data sets and the cache of the machine they run on."""
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setenv("DSRNSS_CACHE", str(_cache))


@pytest.fixture(autouse=True)
def _nothing_of_the_tests_before() -> Iterator[None]:
    """A test that seeds or takes the place of another process leaves nothing of it to those that follow."""
    yield
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
    rank_zero_only.rank = 0
    # whole trainings hold themselves in a ring, and Python does not see how large they are
    with contextlib.suppress(OSError):
        if int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > MUCH:
            gc.collect()


class PeakMemory:
    """The most bytes that this process has held since `forget`, above what it held then.

    Linux forgets the peak of the tests before when it is told to; elsewhere they hide what is less than theirs.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def __call__(self) -> int:
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._before) * 1024


@pytest.fixture
def peak_memory() -> PeakMemory:
    """Counts from the beginning of the test."""
    return PeakMemory()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()
