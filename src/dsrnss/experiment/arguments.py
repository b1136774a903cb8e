"""The command line of the paper's README, translated to today's options, and checks against this machine."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jsonargparse import Namespace

from dsrnss.errors import HardwareError, UsageError
from dsrnss.paths import expanded

_log = logging.getLogger(__name__)
_GPUS = "--trainer.gpus"
_PRECISION = "--trainer.precision"
_ALIGNER = "--model.init_args.alignment_head.init_args.pretrained"
_PART = re.compile(r"--model\.network\.(backbone|head)(\..*)?")
_HALF = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}


def translate(argv: Sequence[str]) -> list[str]:
    """Replace the options of the paper's README by what they are called today, with a notice.

    `--trainer.gpus N`, `--trainer.precision 16` and the option that names the file of the alignment network. Without a
    notice, a backbone or a head that is a mapping is put into its network.

    Raises:
        UsageError: If the value of one is missing, N is not a number, or init_args come without their class.
    """
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        option, equals, value = word.partition("=")
        today = _TODAY.get(option) or _part(option)
        if today is None:
            words.append(word)
            continue
        value = value if equals else next(rest, "")
        if not value:
            raise UsageError(f"{option}: its value is missing.")
        words += today(value)
    return words


def _precision(value: str) -> list[str]:
    name = _HALF.get(value, value)
    if name != value and not name.endswith("-true"):
        _log.info("%s %s is taken as %s.", _PRECISION, value, name)
    return [_PRECISION, name]


def _gpus(value: str) -> list[str]:
    if not value.isdigit():
        raise UsageError(f"{_GPUS}: expected a number of GPUs, not '{value}'.")
    new = ["--trainer.accelerator", "cpu"]
    if int(value):
        new = ["--trainer.accelerator", "gpu", "--trainer.devices", value]
    _log.info("%s %s is taken as %s.", _GPUS, value, " ".join(new))
    return new


def _aligner(value: str) -> list[str]:
    new = ["--model.aligner.init_args.weights", value]
    _log.info("%s %s is taken as %s.", _ALIGNER, value, " ".join(new))
    return new


def _part(option: str) -> Callable[[str], list[str]] | None:
    """The words for a backbone or a head; None for other options.

    jsonargparse fails where one mapping replaces another, unless they stand inside a greater one.
    """
    found = _PART.fullmatch(option)
    if found is None:
        return None
    kind, inside = found.groups(default="")
    if inside not in ("", ".class_path"):
        raise UsageError(
            f"{option}: init_args are given together with their class, in the experiment file or as "
            f"--model.network.{kind} '{{class_path: my_module.MyClass, init_args: {{...}}}}'."
        )

    def words(value: str) -> list[str]:
        value = f"{{class_path: {value}}}" if inside else value
        whole = value.lstrip().startswith("{")
        return ["--model.network", f"{{{kind}: {value}}}"] if whole else [option, value]

    return words


_TODAY: Mapping[str, Callable[[str], list[str]]] = {_GPUS: _gpus, _PRECISION: _precision, _ALIGNER: _aligner}
"""Options of the paper's README -> the words that stand for them and a value today."""


def homes_expanded(value: Any) -> Any:
    """A configuration in which every `~/...` is the path that it stands for: no shell has seen it."""
    if isinstance(value, str) and (value == "~" or value.startswith("~/")):
        return str(expanded(value))
    if isinstance(value, Namespace | dict):
        for key, inner in (vars(value) if isinstance(value, Namespace) else value).items():
            value[key] = homes_expanded(inner)
    elif isinstance(value, list | tuple):
        return type(value)(homes_expanded(inner) for inner in value)
    return value


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """See that the trainer's options are such that the data and the method can follow.

    Args:
        trainer: The `trainer` part of an experiment.

    Raises:
        UsageError: If not, saying what to set instead.
    """
    if trainer["max_steps"] < 1:
        raise UsageError("trainer.max_steps: expected 1 or more: the learning rate falls to 0 at that step.")
    if trainer.get("accumulate_grad_batches", 1) < 1:
        raise UsageError("trainer.accumulate_grad_batches: expected 1 or more.")
    if trainer.get("overfit_batches"):
        raise UsageError(
            "trainer.overfit_batches: the samples of a training are drawn one by one and never repeat. To train on few "
            "pictures, give a data set of few pictures; limit_train_batches shortens an epoch."
        )
    if str(precision := trainer.get("precision")) in ("16-true", "bf16-true"):
        mixed = str(precision).replace("true", "mixed")
        raise UsageError(
            f"trainer.precision: {precision} keeps the weights themselves in 16 bits, where the small steps of teacher "
            f"and optimiser are rounded away. Take {mixed}: it computes in 16 bits and keeps them in 32."
        )
    if str(trainer.get("strategy", "auto")) in ("ddp_spawn", "ddp_fork", "ddp_notebook"):
        raise UsageError(f"trainer.strategy: expected 'auto' or 'ddp', not '{trainer['strategy']}'.")


def check_seed(seed: object) -> None:
    """See that a seed is one that numpy and torch take.

    Raises:
        UsageError: If not.
    """
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        raise UsageError(f"seed_everything: expected a whole number from 0 to {2**32 - 1}, not {seed}.")


def take_processes(trainer: Any) -> None:
    """Take the number of devices and machines from `torchrun`, if that started this process.

    Args:
        trainer: The `trainer` part of an experiment; its `devices` and `num_nodes` are set.
    """
    import torch

    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        trainer["devices"], trainer["num_nodes"] = devices, int(os.environ["WORLD_SIZE"]) // devices


def check_hardware(trainer: Mapping[str, Any]) -> None:
    """See that the asked-for accelerator exists.

    Args:
        trainer: The `trainer` part of an experiment.

    Raises:
        HardwareError: If it does not, saying what to type instead.
    """
    import torch

    accelerator = str(trainer.get("accelerator", "auto"))
    devices = trainer.get("devices", 1)
    if runs_on_cpu(trainer) and accelerator != "cpu" and str(devices) not in ("1", "auto"):
        raise HardwareError(
            f"trainer.devices is {devices}, but torch {torch.__version__} sees no GPU on this machine, and on the CPU "
            "one process uses all cores: set it to 1. Several processes on the CPU want --trainer.accelerator cpu."
        )
    if accelerator not in ("gpu", "cuda", "mps"):
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if accelerator != "cuda" and torch.backends.mps.is_available():
        count = max(count, 1)
    if not count:
        raise HardwareError(
            f"trainer.accelerator is '{accelerator}', but torch {torch.__version__} sees no GPU on this machine.\n"
            "Use the CPU with --trainer.accelerator cpu (or --trainer.gpus 0), or install a driver and a torch "
            "that fit the GPU."
        )
    if str(devices).isdigit() and int(devices) > count:
        raise HardwareError(f"{devices} GPUs were asked for, this machine has {count}: --trainer.devices {count}.")


def runs_on_cpu(trainer: Mapping[str, Any]) -> bool:
    """Whether an experiment will run on the CPU."""
    import torch

    accelerator = str(trainer.get("accelerator", "auto"))
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return accelerator == "cpu" or (accelerator == "auto" and not has_gpu)


def cpu_has_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16; False where torch, before 2.10, cannot tell."""
    import torch

    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("avx512_bf16", False))
