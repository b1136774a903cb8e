"""Parameter groups, optimiser and learning rate (method section 1)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from dsrnss.errors import check_range
from dsrnss.models.segmentor import Segmentor


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW.

    Args:
        lr: Learning rate of the head.
        backbone_lr_factor: Learning rate of the backbone, relative to the head's.
        weight_decay: For all but biases and norms.
        betas: Decay of the moments.
    """

    lr: float = 6e-4
    backbone_lr_factor: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("optimizer.lr", self.lr, 0)
        check_range("optimizer.backbone_lr_factor", self.backbone_lr_factor, 0)
        check_range("optimizer.weight_decay", self.weight_decay, 0)


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear warm-up, then polynomial decay to 0.

    Args:
        warmup_steps: Steps of the warm-up.
        warmup_ratio: The first step's share of the learning rate.
        power: Exponent of the decay.
        min_lr: Learning rate that the decay ends at, in every group; officially 0.
        max_steps: Step at which the learning rate is 0; by default the trainer's `max_steps`.
    """

    warmup_steps: int = 1500
    warmup_ratio: float = 1e-6
    power: float = 1.0
    min_lr: float = 0.0
    max_steps: int = 40000

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("schedule.warmup_steps", self.warmup_steps, 0)
        check_range("schedule.warmup_ratio", self.warmup_ratio, 0, 1)
        check_range("schedule.min_lr", self.min_lr, 0)


def lr_factor(step: int, config: ScheduleConfig, base: float = 1.0) -> float:
    """The learning rate of a 0-based step, relative to its base; constant from `max_steps` on (officially negative).

    Args:
        step: 0-based optimiser step.
        config: Warm-up and decay.
        base: Learning rate of the group, which `min_lr` is compared with.
    """
    if step < config.warmup_steps:
        return 1 - (1 - step / config.warmup_steps) * (1 - config.warmup_ratio)
    least = config.min_lr / base
    if step >= config.max_steps:
        return least
    decay = (1 - (step - config.warmup_steps) / (config.max_steps - config.warmup_steps)) ** config.power
    return float(least + (1 - least) * decay)


def parameter_groups(segmentor: Segmentor, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Head weights, head biases and norms (HRDA's scale attention among them), and the same of the backbone."""
    parts: dict[str, list[nn.Parameter]] = {"head": [], "backbone": []}
    for name, parameter in segmentor.named_parameters():
        if parameter.requires_grad:
            parts["backbone" if name.startswith("backbone.") else "head"].append(parameter)
    rates = {"head": config.lr, "backbone": config.lr * config.backbone_lr_factor}
    groups = []
    for name, parameters in parts.items():
        lr = rates[name]
        groups.append(_group(f"{name}_weight", [p for p in parameters if p.ndim > 1], lr, config.weight_decay))
        groups.append(_group(f"{name}_bias", [p for p in parameters if p.ndim <= 1], lr, 0.0))
    return groups


def _group(name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> dict[str, Any]:
    return {"name": name, "params": list(parameters), "lr": lr, "weight_decay": weight_decay}


def build_optimizer(
    segmentor: Segmentor, optimizer: OptimizerConfig, schedule: ScheduleConfig
) -> tuple[AdamW, LambdaLR]:
    """AdamW over the four groups and its schedule, which moves once a step."""
    adamw = AdamW(parameter_groups(segmentor, optimizer), lr=optimizer.lr, betas=optimizer.betas)
    factors: list[Callable[[int], float]] = [
        partial(lr_factor, config=schedule, base=group["lr"] or 1.0) for group in adamw.param_groups
    ]
    return adamw, LambdaLR(adamw, factors)
