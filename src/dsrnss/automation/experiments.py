"""The two experiments of a run, as files that `fit` can repeat: training by day, and adaptation to the night."""

from pathlib import Path
from typing import Any

import yaml

from dsrnss.automation.plan import LITE0, NetworkChoice, Plan
from dsrnss.automation.sets import SetChoice
from dsrnss.models.config import NetworkConfig
from dsrnss.writing import write_atomically

DAY, NIGHT = "day.yaml", "config.yaml"
CHECKS = 8
"""How often the adapted network is looked at."""


def day_experiment(plan: Plan, network: NetworkChoice, day: SetChoice, seed: int) -> dict[str, Any]:
    """Supervised training on the labelled pictures.

    Args:
        plan: How long, on what.
        network: What is trained.
        day: The labelled set.
        seed: Of all draws.
    """
    experiment = _common(plan, network, plan.day_steps, seed)
    experiment["model"] |= {
        "backbone_weights": network.backbone_weights,
        "source": _source(plan),
        "feature_distance": {"weight": 0},
    }
    experiment["data"] = _data(plan, day, plan.batch)
    return experiment


def night_experiment(
    plan: Plan,
    network: NetworkChoice,
    day: SetChoice,
    night: SetChoice,
    seed: int,
    weights: str,
    val: SetChoice | None = None,
) -> dict[str, Any]:
    """The adaptation.

    Args:
        plan: How long, on what.
        network: What is trained.
        day: The labelled set.
        night: The pictures to adapt to.
        seed: Of all draws.
        weights: Of the network that has learned by day.
        val: Labelled night pictures that choose the network; None: it is chosen without labels.
    """
    experiment = _common(plan, network, plan.steps, seed)
    every = max(1, plan.steps // CHECKS)
    experiment["trainer"] |= {
        "callbacks": [
            {"class_path": "dsrnss.training.callbacks.best_network.BestNetwork", "init_args": {"every": every}}
        ],
    }
    experiment["model"] |= {
        "weights": weights,
        "source": _source(plan),
        "self_training": {"momentum": 0.99, "joint_forward": True},
        "night_aware": {"method": "fda", "beta": 0.02, "probability": plan.night_aware},
        "priors": {"strength": 0.5},
        "feature_distance": {"weight": 0.005},
        "memory_bank": {"size": 1, "interval": 10},
        "prototypes": {"start_step": plan.steps // 5},
        **({"freeze_batch_norm": True} if network.freeze_batch_norm else {}),
    }
    experiment["model"]["optimizer"]["lr"] /= _GENTLER
    target = night.of_side(plan.size).node()
    if night.build().references:
        # each pair is aligned once, into a store, and not at every step
        experiment["model"]["aligner"] = "dsrnss.adaptation.alignment.GivenAligner"
        arguments = {"dataset": target, "aligner": "dsrnss.adaptation.alignment.classical.align_pair"}
        target = {"class_path": "dsrnss.data.AlignedPairs", "init_args": arguments}
    experiment["data"] = _data(plan, day, plan.batch // 2) | {
        "target": target,
        "target_batch_size": plan.batch // 2,
    }
    if val is not None:
        experiment["trainer"] |= {"limit_val_batches": None, "val_check_interval": every}
        # measured at the size of the labels
        experiment["data"]["val"] = {"night": val.having(resize_label=False).of_side(plan.size).node()}
    return experiment


def write(experiment: dict[str, Any], path: Path) -> Path:
    """Write an experiment file.

    Raises:
        OutputError: If it cannot be written.
    """
    write_atomically(path, yaml.safe_dump(experiment, sort_keys=False).encode())
    return path


_SOURCE = {
    "class_balance": 0.25,
    "augmentation": {"jitter": 0.3, "hue": 0.03, "gamma": [0.7, 2.0], "exposure": [0.5, 1.2]},
}
"""How labelled pictures are learned from, by day and beside the night."""
_GENTLER = 10
"""The learning rate by day over that of the adaptation: a network that knows the streets is soon disturbed."""


def _source(plan: Plan) -> dict[str, Any]:
    return _SOURCE | ({"relighting": {"probability": plan.relighting}} if plan.relighting else {})


def _common(plan: Plan, network: NetworkChoice, steps: int, seed: int) -> dict[str, Any]:
    usual = {**NetworkConfig().to_dict(), "num_classes": network.parts.num_classes, "backbone": None, "head": None}
    parts = {key: value for key, value in network.parts.to_dict().items() if value != usual[key]}
    return {
        "seed_everything": seed,
        "trainer": {
            "max_steps": steps,
            "gradient_clip_val": 5.0,
            "accelerator": plan.device,
            "enable_model_summary": False,
            "limit_val_batches": 0,
            "log_every_n_steps": max(1, min(10, steps // 40)),
        },
        "checkpoint": {"every_n_train_steps": max(1, min(100, steps // 4))},
        "model": {
            "network": parts,
            "optimizer": {"lr": network.lr, "backbone_lr_factor": network.factor},
            "schedule": {"warmup_steps": max(1, min(30, steps // 10))},
            **({"channels_last": True} if _likes_channels_last(network.parts) else {}),
        },
    }


def _likes_channels_last(parts: NetworkConfig) -> bool:
    """Measured (docs/performance.md), and not measured anew in each run, which is to be repeatable to the last bit."""
    return parts.backbone in ("compact", LITE0) and parts.head == "fpn" and not parts.hrda


def _data(plan: Plan, day: SetChoice, batch: int) -> dict[str, Any]:
    return {
        "source": day.of_side(plan.size).node(),
        "crop_size": list(plan.crop),
        "scale": [0.75, 1.33],
        "source_batch_size": batch,
        "rare_class_sampling": {"temperature": 0.02},
        "workers": 4 if plan.device == "gpu" else 0,
    }
