"""Parameter groups, optimiser and learning rate (method section 1)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dsrnss.errors import check_range
from dsrnss.models.contract import fresh_of, layers_of
from dsrnss.models.segmentor import Segmentor

PAPER_STEPS = 40_000
PAPER_WARMUP = 1500 / PAPER_STEPS


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW.

    Args:
        lr: Learning rate of the head.
        backbone_lr_factor: Learning rate of the backbone, relative to the head's.
        weight_decay: For all but biases and norms.
        betas: Decay of the moments.
        layer_decay: Factor of the backbone's learning rate from each layer to the one before it; 1: one rate for all.
    """

    lr: float = 6e-4
    backbone_lr_factor: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("optimizer.lr", self.lr, 0)
        check_range("optimizer.backbone_lr_factor", self.backbone_lr_factor, 0)
        check_range("optimizer.weight_decay", self.weight_decay, 0)
        check_range("optimizer.layer_decay", self.layer_decay, 0, 1)
        check_range("optimizer.betas", min(self.betas), 0)
        check_range("optimizer.betas", max(self.betas), 0, 0.9999999)


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear warm-up, then polynomial decay to 0.

    Args:
        warmup_steps: Steps of the warm-up; None: the paper's share of all steps, 1500 of 40,000.
        warmup_ratio: The first step's share of the learning rate.
        power: Exponent of the decay.
        min_lr: Learning rate that the decay ends at, in every group; officially 0.
        max_steps: Step at which the learning rate is 0; None: the trainer's `max_steps`, or the paper's 40,000 where
            there is no trainer.
    """

    warmup_steps: int | None = None
    warmup_ratio: float = 1e-6
    power: float = 1.0
    min_lr: float = 0.0
    max_steps: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("schedule.warmup_steps", self.warmup_steps or 0, 0)
        check_range("schedule.warmup_ratio", self.warmup_ratio, 0, 1)
        check_range("schedule.min_lr", self.min_lr, 0)

    @property
    def total(self) -> int:
        """Steps until the learning rate is 0."""
        return PAPER_STEPS if self.max_steps is None else self.max_steps

    @property
    def warmup(self) -> int:
        """Steps of the warm-up."""
        return round(self.total * PAPER_WARMUP) if self.warmup_steps is None else self.warmup_steps


def lr_factor(step: int, config: ScheduleConfig, base: float = 1.0) -> float:
    """The learning rate of a 0-based step, relative to its base; constant from `max_steps` on (officially negative).

    Args:
        step: 0-based optimiser step.
        config: Warm-up and decay.
        base: Learning rate of the group, which `min_lr` is compared with.
    """
    if step < config.warmup:
        return 1 - (1 - step / config.warmup) * (1 - config.warmup_ratio)
    least = config.min_lr / base
    if step >= config.total:
        return least
    decay = (1 - (step - config.warmup) / (config.total - config.warmup)) ** config.power
    return float(least + (1 - least) * decay)


def parameter_groups(
    segmentor: Segmentor, config: OptimizerConfig, criterion: nn.Module | None = None
) -> list[dict[str, Any]]:
    """Head weights, head biases and norms (HRDA's scale attention among them), and the same of the backbone.

    With a layer decay each layer of the backbone has its two groups. What no pretrained file of the backbone holds (the
    feature pyramid of a plain transformer) learns with the head.

    Args:
        segmentor: The network.
        config: Learning rates and weight decay.
        criterion: If it has parameters, they are trained with the head's.

    Raises:
        ConfigError: If the layers decay and the backbone does not tell its layers.
    """
    rates = {"head": config.lr}
    parts: dict[str, list[nn.Parameter]] = {"head": [], **_backbone_parts(segmentor.backbone, config, rates)}
    inside = {id(parameter) for parameters in parts.values() for parameter in parameters}
    parts["head"] += [p for p in segmentor.parameters() if p.requires_grad and id(p) not in inside]
    parts["head"] += [] if criterion is None else [p for p in criterion.parameters() if p.requires_grad]
    groups = []
    for name, parameters in parts.items():
        lr = rates[name]
        groups.append(_group(f"{name}_weight", [p for p in parameters if p.ndim > 1], lr, config.weight_decay))
        groups.append(_group(f"{name}_bias", [p for p in parameters if p.ndim <= 1], lr, 0.0))
    return groups


def _backbone_parts(
    backbone: nn.Module, config: OptimizerConfig, rates: dict[str, float]
) -> dict[str, list[nn.Parameter]]:
    """The backbone's parameters that learn at rates of their own, which are added to `rates`."""
    fresh = fresh_of(backbone)
    trained = {k: p for k, p in backbone.named_parameters() if p.requires_grad and not (fresh and k.startswith(fresh))}
    rate = config.lr * config.backbone_lr_factor
    if config.layer_decay == 1:
        rates["backbone"] = rate
        return {"backbone": list(trained.values())}
    layers = layers_of(backbone)
    last = max(layers.values())
    parts: dict[str, list[nn.Parameter]] = {}
    for layer in range(last + 1):
        name = f"backbone_layer{layer}"
        rates[name] = rate * config.layer_decay ** (last - layer)
        parts[name] = [parameter for key, parameter in trained.items() if layers[key] == layer]
    return parts


def apply_settings(optimizer: Optimizer, scheduler: LambdaLR, groups: Sequence[dict[str, Any]]) -> None:
    """Give an optimiser that was restored from a checkpoint the settings of today, at the step where it is.

    A checkpoint brings the learning rates, the weight decay and the betas that it was saved with.

    Args:
        optimizer: Restored, with groups of the same names.
        scheduler: Restored; its factors are those of today.
        groups: As `parameter_groups` gives them, each with the `betas` that it shall have.
    """
    for group, today in zip(optimizer.param_groups, groups, strict=True):
        group |= {key: today[key] for key in ("weight_decay", "betas")} | {"initial_lr": today["lr"]}
    scheduler.base_lrs = [today["lr"] for today in groups]
    # also of a finished run that is extended: it stood at 0
    for group, base, factor in zip(optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = base * factor(scheduler.last_epoch)


def match_layout(optimizer: Optimizer) -> None:
    """Lay the moments out as their parameters lie: a fused optimiser on a GPU refuses those of another layout."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[key] = torch.empty_like(parameter).copy_(value)


def _computed_as_today(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint, fused or not as today's device wants it: a gradient scaler asks which it is."""
    fused = optimizer.defaults["fused"]
    return {**state, "param_groups": [{**group, "fused": fused} for group in state["param_groups"]]}


def _group(name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> dict[str, Any]:
    return {"name": name, "params": list(parameters), "lr": lr, "weight_decay": weight_decay}


def build_optimizer(
    segmentor: Segmentor,
    optimizer: OptimizerConfig,
    schedule: ScheduleConfig,
    criterion: nn.Module | None = None,
    *,
    fused: bool = False,
) -> tuple[AdamW, LambdaLR]:
    """AdamW over the groups, as one kernel where it shall be, and its schedule, which moves once a step."""
    groups = parameter_groups(segmentor, optimizer, criterion)
    adamw = AdamW(groups, lr=optimizer.lr, betas=optimizer.betas, fused=fused or None)
    adamw.register_load_state_dict_pre_hook(_computed_as_today)
    factors: list[Callable[[int], float]] = [
        partial(lr_factor, config=schedule, base=group["lr"] or 1.0) for group in adamw.param_groups
    ]
    return adamw, LambdaLR(adamw, factors)
