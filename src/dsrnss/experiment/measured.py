"""Experiments that are built to be measured: nothing is read, nothing is written, one device."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from dsrnss.experiment.cli import ExperimentCLI, build

_RANDOM: dict[str, Any] = {"weights": "random", "backbone_weights": "random"}
_QUIET: dict[str, Any] = {"devices": 1, "logger": False, "enable_checkpointing": False, "callbacks": None}


class MeasuredCLI(ExperimentCLI):
    """Builds an experiment with random weights, whose numbers do not change what they cost."""

    def before_instantiate_classes(self) -> None:
        """Leave out what a measurement does not need."""
        for part, values in (("model", _RANDOM), ("trainer", _QUIET)):
            for key, value in values.items():
                self.config[part][key] = value
        super().before_instantiate_classes()


class CountedCLI(MeasuredCLI):
    """The same without any numbers, for a machine that need not be there.

    Attributes:
        precision: That the experiment asks for.
    """

    precision: str

    def before_instantiate_classes(self) -> None:
        """Build on the CPU whatever is asked for."""
        trainer: Any = self.config["trainer"]
        self.precision = str(trainer.get("precision") or "32-true")
        trainer["accelerator"], trainer["precision"] = "cpu", "32-true"
        super().before_instantiate_classes()


def build_measured(configs: Sequence[str | Path], args: Sequence[str] = ()) -> MeasuredCLI:
    """An experiment on the device that it names.

    Args:
        configs: As of `build`.
        args: As of `build`.

    Raises:
        DsrnssError: As of `build`.
    """
    return cast(MeasuredCLI, build("fit", configs, args, cli_class=MeasuredCLI))


def build_counted(configs: Sequence[str | Path], args: Sequence[str] = ()) -> CountedCLI:
    """An experiment whose networks have no numbers.

    Args:
        configs: As of `build`.
        args: As of `build`.

    Raises:
        DsrnssError: As of `build`.
    """
    with torch.device("meta"):
        return cast(CountedCLI, build("fit", configs, args, cli_class=CountedCLI))
