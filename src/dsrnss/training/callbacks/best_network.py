"""Which network of an adaptation to keep: the best one, told without labels where there are none."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, cast

import lightning as L

from dsrnss.collectives import everyones
from dsrnss.data.base import SegmentationDataset
from dsrnss.errors import ConfigError, check_range
from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import save_pretrained
from dsrnss.training.label_free import label_free, night_pictures

_log = logging.getLogger(__name__)
BEST = "best.safetensors"


@dataclass(frozen=True)
class Check:
    """A look at the network.

    Attributes:
        step: Optimiser steps before it.
        score: The mean IoU of validation sets with labels; without such, the score of `label_free`.
    """

    step: int
    score: float


class Adapting(Protocol):
    """What is asked of the module that is trained."""

    label_space: LabelSpace
    results: dict[str, Scores]

    def prepare_evaluated(self) -> Segmentor:
        """The network that is tested, ready for it."""

    def card(self) -> dict[str, Any]:
        """What is known of its training."""


class BestNetwork(L.Callback):
    """Looks at the adapted network now and then, keeps the best one, and stops where it only gets worse.

    Self-training can collapse: classes vanish one after another while the loss falls. Where the experiment has labelled
    validation sets their mean IoU decides; else the score of `label_free` on pictures of the target set does.

    Args:
        every: Steps between two looks without labels; with them, validation is the look.
        pictures: Pictures of the target to look at, evenly spread.
        patience: Looks in a row that each found the network worse, after which training stops; None: never.
        tolerance: How much worse than the best it must be by then, as a share of the best.
        margin: Of networks that differ by less, as a share of the best, the later one is kept; 0 where labels decide.

    Attributes:
        checks: All looks so far; the first one is before any step.
        kept: File of the best network, None: none yet.
    """

    def __init__(
        self,
        every: int = 50,
        pictures: int = 32,
        patience: int | None = 3,
        tolerance: float = 0.3,
        margin: float = 0.05,
    ) -> None:
        check_range("BestNetwork.every", every, 1)
        check_range("BestNetwork.pictures", pictures, 1)
        check_range("BestNetwork.tolerance", tolerance, 0, 1)
        check_range("BestNetwork.margin", margin, 0, 1)
        self.every, self.pictures, self.patience, self.tolerance = every, pictures, patience, tolerance
        self.margin = self._margin = margin
        self.checks: list[Check] = []
        self.kept: Path | None = None

    @property
    def best(self) -> Check | None:
        """The look whose network is kept: the last one that was as good as all before it, up to the margin."""
        found: Check | None = None
        highest = 0.0
        for check in self.checks:
            found = check if found is None or check.score > (1 - self._margin) * highest else found
            highest = max(highest, check.score)
        return found

    @property
    def collapsed(self) -> bool:
        """Whether the network only got worse in the last looks, and clearly worse than the best.

        A dip is no collapse: at the full learning rate every network is worse than at its end.
        """
        if self.patience is None or len(self.checks) <= self.patience or self.best is None:
            return False
        scores = [check.score for check in self.checks[-self.patience - 1 :]]
        falls = all(later < earlier for earlier, later in pairwise(scores))
        return falls and scores[-1] < (1 - self.tolerance) * max(check.score for check in self.checks)

    def state_dict(self) -> dict[str, Any]:
        """The looks and the file, for the checkpoint."""
        checks = [asdict(check) for check in self.checks]
        return {"checks": checks, "kept": None if self.kept is None else str(self.kept)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.checks = [Check(**check) for check in state_dict["checks"]]
        self.kept = None if state_dict["kept"] is None else Path(state_dict["kept"])

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See whether labels decide."""
        self._margin = 0.0 if _validates(trainer) else self.margin

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at what training begins from.

        Raises:
            ConfigError: If there is neither a labelled validation set nor a target to look at.
        """
        if not self.checks and not _validates(trainer):
            self._look(trainer, pl_module)
        trainer.should_stop |= self.collapsed

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, if it is time."""
        step = trainer.global_step
        due = step % self.every == 0 or step == trainer.max_steps
        if due and not _validates(trainer) and step > max((check.step for check in self.checks), default=-1):
            self._look(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the mean IoU that was measured, of the start too where all of it was."""
        results = _task(pl_module).results
        whole = not trainer.sanity_checking or trainer.num_sanity_val_steps == float("inf")
        if whole and results:
            self._take(trainer, pl_module, sum(scores.mean_iou for scores in results.values()) / len(results))

    def _look(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        target: SegmentationDataset | None = getattr(getattr(trainer, "datamodule", None), "target", None)
        if target is None:
            raise ConfigError("BestNetwork looks at the target set, and there is none: give data.target or data.val.")
        with _evaluating(pl_module) as network:
            like = next(pl_module.parameters())
            images = (image.to(like) for image in night_pictures(target, self.pictures))
            found = label_free(network, images, _task(pl_module).label_space.num_classes)
        self._take(trainer, pl_module, found.score)

    def _take(self, trainer: L.Trainer, pl_module: L.LightningModule, score: float) -> None:
        before, score = self.best, everyones(score)[0]  # all decide alike, whatever the last digits of each
        self.checks.append(Check(trainer.global_step, score))
        if self.best is self.checks[-1]:
            self._keep(trainer, pl_module)
        for logger in trainer.loggers:
            logger.log_metrics({"night/score": score}, trainer.global_step)
        if before is not None and self.collapsed:
            _log.warning(
                "the network got worse at the night after step %d (%.3f, now %.3f): stopping; the best one is kept.",
                before.step,
                before.score,
                score,
            )
            trainer.should_stop = True

    def _keep(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.kept = Path(trainer.log_dir or trainer.default_root_dir) / BEST
        if trainer.is_global_zero:
            with _evaluating(pl_module) as network:
                save_pretrained(network, self.kept, _task(pl_module).label_space, _task(pl_module).card())


def _task(pl_module: L.LightningModule) -> Adapting:
    return cast(Adapting, pl_module)


def _validates(trainer: L.Trainer) -> bool:
    return bool(getattr(getattr(trainer, "datamodule", None), "val", None))


@contextmanager
def _evaluating(pl_module: L.LightningModule) -> Iterator[Segmentor]:
    """The network that is tested, ready for it; afterwards all modules are in the mode that they were in."""
    modes = {module: module.training for module in pl_module.modules()}
    try:
        yield _task(pl_module).prepare_evaluated()
    finally:
        for module, mode in modes.items():
            module.training = mode
