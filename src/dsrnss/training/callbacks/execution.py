"""How a student is computed: memory layout, threads, compiled or not. The numbers stay the same but for rounding."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

import lightning as L
import torch
from torch import Tensor

from dsrnss.collectives import together
from dsrnss.models.compiling import compile_parts
from dsrnss.models.segmentor import Segmentor
from dsrnss.training.schedule import match_layout

LayoutChoice = bool | Literal["auto"]

_log = logging.getLogger(__name__)
_GAIN = 0.95
"""What is chosen takes at most this share of the time of the plain way: less is noise."""
_ROUNDS = 2
_HOPELESS = 1.3
"""Times the seconds of the best: what is not tried again."""


class Setting(NamedTuple):
    """A way to compute.

    Attributes:
        channels_last: Memory layout of the parameters, which that of the maps follows.
        threads: CPU threads of an operation.
    """

    channels_last: bool
    threads: int

    def __str__(self) -> str:
        layout = "channels-last" if self.channels_last else "contiguous"
        return f"{layout}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def candidates(threads: int, *, fewer_threads: bool) -> list[Setting]:
    """What is tried, the plain way first: both layouts, each by all threads, a half and a quarter of them.

    Args:
        threads: As many as torch takes by itself.
        fewer_threads: Whether their number is free: on a CPU, and not where there are few.
    """
    counts = [threads, threads // 2, threads // 4] if fewer_threads and threads >= 4 else [threads]
    return [Setting(layout, count) for count in counts for layout in (False, True)]


def choose(seconds: Mapping[Setting, float], plain: Setting) -> Setting:
    """The fastest way; the plain one, if that gains less than a twentieth.

    Args:
        seconds: Setting -> what a pass took.
        plain: One of them.
    """
    fastest = min(seconds, key=lambda setting: seconds[setting])
    return fastest if seconds[fastest] < _GAIN * seconds[plain] else plain


def measure(
    run: Callable[[], object],
    use: Callable[[Setting], None],
    settings: Sequence[Setting],
    rounds: int = _ROUNDS,
    hopeless: float = _HOPELESS,
) -> dict[Setting, float]:
    """The least seconds of a pass in each setting; they take turns, and a first pass of each is not counted.

    Args:
        run: The pass; it ends when its result is there.
        use: Take a setting.
        settings: Which.
        rounds: How often each has its turn.
        hopeless: Times the seconds of the best, above which a setting has no further turn.
    """
    seconds: dict[Setting, float] = {}
    for number in range(rounds + 1):
        for setting in settings:
            if number > 1 and seconds[setting] > hopeless * min(seconds.values()):
                continue
            use(setting)
            started = time.perf_counter()
            run()
            if number:
                seconds[setting] = min(seconds.get(setting, float("inf")), time.perf_counter() - started)
    return seconds


class Execution(L.Callback):
    """Takes the fastest way at the first batch, and compiles.

    Args:
        channels_last: Memory layout; `auto`: measured, as the number of threads is.
        compiled: Whether backbones and heads are compiled.

    Attributes:
        chosen: What was measured to be the fastest; a checkpoint keeps it.
    """

    def __init__(self, channels_last: LayoutChoice, compiled: bool) -> None:
        self.channels_last, self.compiled = channels_last, compiled
        self.chosen: Setting | None = None
        self._threads: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """What was chosen, so that training goes on with it to the last digit."""
        return {} if self.chosen is None else {"chosen": tuple(self.chosen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take that back."""
        self.chosen = Setting(*state_dict["chosen"])

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Before the first batch: measure, if that is asked for and no checkpoint says it, and compile.

        Raises:
            HardwareError: If a compiler is asked for and is not there.
        """
        if self._threads is not None:
            return
        self._threads = torch.get_num_threads()
        images: Tensor = batch["source"]["image"]
        networks: list[Segmentor] = [pl_module.student, pl_module.method.teacher.network]  # type: ignore[union-attr, list-item]
        if self.channels_last == "auto":
            chosen = self.chosen or fastest(networks[0], images[:2], trainer.precision_plugin.forward_context)
            self.chosen = chosen = trainer.strategy.broadcast(chosen)
            torch.set_num_threads(chosen.threads)
            for network in networks:
                set_layout(network, chosen.channels_last)
        for optimizer in trainer.optimizers:  # a checkpoint brings moments in the layout that it was saved in
            match_layout(optimizer)
        if self.compiled:
            torch._inductor.config.fallback_random = True  # the draws of eager execution
            for network in networks:
                compile_parts(network, images.device)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """As many threads as before."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)
            self._threads = None


def fastest(student: Segmentor, images: Tensor, context: Callable[[], AbstractContextManager[object]]) -> Setting:
    """Measure a pass forward and back of a copy of the student in each setting: some passes of time.

    Args:
        student: The network; neither it nor the state of random numbers is changed.
        images: (B, 3, H, W), like a batch.
        context: Under which it is trained.
    """
    device, threads = images.device, torch.get_num_threads()
    settings = candidates(threads, fewer_threads=device.type == "cpu")
    copied = copy.deepcopy(student).train()

    def use(setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        set_layout(copied, setting.channels_last)

    def run() -> None:
        box = (0, 0) if copied.config.hrda else None
        with context():
            loss = copied(images, box).logits.float().square().mean()
        loss.backward()
        copied.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # batch norms of several processes wait for each other: all must pass equally often
            seconds = measure(run, use, settings, hopeless=math.inf if together() else _HOPELESS)
    finally:
        torch.set_num_threads(threads)
    chosen = choose(seconds, settings[0])
    told = ", ".join(f"{setting}: {seconds[setting]:.3f} s" for setting in settings)
    _log.info("The student is computed %s. A pass took, %s.", chosen, told)
    return chosen


def set_layout(network: Segmentor, channels_last: bool) -> None:
    """Keep a network's parameters, and with them its maps, in a memory layout."""
    network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
