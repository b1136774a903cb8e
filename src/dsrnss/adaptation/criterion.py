"""The criterion: what a prediction costs against labels, pixel by pixel (method section 1)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.labels import IGNORE_INDEX
from dsrnss.models.class_path import import_class
from dsrnss.models.config import is_class_path


class PixelWeightedCrossEntropy(nn.Module):
    """Cross entropy averaged over *all* pixels: ignored ones count 0 in the sum and 1 in the number.

    A criterion of one's own is a module with this `forward`. It serves the source, the mixed and the masked loss, and
    of HRDA both the fused and the detail logits; parameters that it has are trained with the head's.
    """

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        pixel_weights: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            logits: (B, C, H, W) float32 at the labels' size.
            labels: (B, H, W) int64 train ids, 255 ignored.
            pixel_weights: (B, H, W), multiplied to each pixel's loss: those of pseudo-labels; None: all 1.
            class_weights: (C,), multiplied to the loss of pixels of a class; for true labels only.

        Returns:
            A scalar.
        """
        loss = F.cross_entropy(logits, labels, class_weights, ignore_index=IGNORE_INDEX, reduction="none")
        return (loss if pixel_weights is None else loss * pixel_weights).mean()


CRITERIA: dict[str, Callable[[], nn.Module]] = {"cross_entropy": PixelWeightedCrossEntropy}
"""Criteria that have a name."""


def build_criterion(criterion: str | nn.Module) -> nn.Module:
    """A criterion by its name, or by the path of a class of the user's own; a module is handed on.

    Raises:
        ConfigError: If there is none of this name.
    """
    if isinstance(criterion, nn.Module):
        return criterion
    if is_class_path(criterion):
        return import_class("criterion", criterion)()
    if criterion not in CRITERIA:
        raise ConfigError(
            f"Unknown criterion '{criterion}'.{did_you_mean(criterion, CRITERIA)} One of your own is named by its "
            "path, such as 'my_module.MyLoss'."
        )
    return CRITERIA[criterion]()
