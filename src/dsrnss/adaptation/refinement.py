"""Pseudo-labels of the night, refined by the day reference (Refign, arXiv 2207.06825; method section 3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dsrnss.constants import constant
from dsrnss.errors import check_range


@dataclass(frozen=True)
class RefinementConfig:
    """How far the reference is trusted.

    Args:
        enabled: Whether references are used at all.
        gamma: Exponent of the trust: the lower, the more the reference counts.
        disable_m: Drop the mask of large static classes.
        disable_p: Drop the aligner's confidence (0.5 everywhere).
        renormalise: Let the refined probabilities sum to 1; officially they do not.
    """

    enabled: bool = True
    gamma: float = 0.25
    disable_m: bool = False
    disable_p: bool = False
    renormalise: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("refinement.gamma", self.gamma, 0)


def normalised_entropy(logits: Tensor) -> Tensor:
    """Entropy of the class distribution over its maximum: (B, C, H, W) logits -> (B, H, W) in [0, 1]."""
    return _entropy(logits.log_softmax(1))


def _entropy(log_probabilities: Tensor) -> Tensor:
    return -(log_probabilities.exp() * log_probabilities).sum(1) / math.log(log_probabilities.shape[1])


def large_static_mask(logits_trg: Tensor, logits_ref: Tensor, classes: Sequence[int]) -> Tensor:
    """M: 1 on the channels of large static classes where both predictions name one, else 0.

    Args:
        logits_trg: (B, C, H, W) of the night image.
        logits_ref: (B, C, H, W) of the warped reference.
        classes: Train ids of the large static classes.

    Returns:
        (B, C, H, W) of zeros and ones.
    """
    chosen = constant(tuple(c in classes for c in range(logits_trg.shape[1])), logits_trg.device, torch.bool)
    both = chosen[logits_trg.max(1).indices] & chosen[logits_ref.max(1).indices]
    return (both[:, None] & chosen[None, :, None, None]).to(logits_trg.dtype)


def refine(
    logits_trg: Tensor,
    logits_ref: Tensor,
    valid: Tensor | None,
    confidence: Tensor | None,
    large_static: Sequence[int],
    config: RefinementConfig | None = None,
) -> Tensor:
    """Blend the night's class probabilities with those of the warped reference.

    Args:
        logits_trg: (B, C, H, W) teacher logits of the night image.
        logits_ref: (B, C, H, W) teacher logits of the reference, warped into the night image.
        valid: (B, H, W) bool, where the warp stays inside the reference; None: everywhere.
        confidence: (B, 1, H, W) of the aligner; None: 0.5 everywhere.
        large_static: Train ids of the large static classes.
        config: Switches and the trust exponent.

    Returns:
        (B, C, H, W) refined probabilities; the blend differs per channel, so they need not sum to 1.
    """
    config = config or RefinementConfig()
    trust = normalised_entropy(logits_trg).mean((1, 2)) ** config.gamma
    blend = logits_trg.new_full((1, 1, 1, 1), 0.5)
    if confidence is not None and not config.disable_p:
        blend = confidence.to(logits_trg.dtype)
    if not config.disable_m:
        blend = torch.maximum(blend, large_static_mask(logits_trg, logits_ref, large_static))
    blend = trust[:, None, None, None] * blend
    if valid is not None:
        blend = blend * valid[:, None].to(blend.dtype)
    refined = torch.lerp(logits_trg.softmax(1), logits_ref.softmax(1), blend)
    return refined / refined.sum(1, keepdim=True) if config.renormalise else refined
