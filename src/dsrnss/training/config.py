"""Settings of the adaptation task that belong to no part of the method alone."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dsrnss.adaptation.augmentation import AugmentationConfig
from dsrnss.errors import ConfigError, check_range
from dsrnss.models.segmentor import Segmentor


@dataclass(frozen=True)
class SelfTrainingConfig:
    """The teacher and the mixed loss.

    Args:
        momentum: Final momentum of the teacher's moving average.
        teacher_dropout: Leave the teacher's dropout and stochastic depth on, as officially.
        adapt_to_reference: With probability 0.5 a step adapts to the day reference instead of the night image.
        mixed_weight: Weight of the mixed loss; None: 0.8 with HRDA, 1 without, as officially.
        joint_forward: Pass source and mixed images through the student as one batch, so that batch norms see both:
            for backbones with batch norm. Officially one after the other.
    """

    momentum: float = 0.999
    teacher_dropout: bool = False
    adapt_to_reference: bool = False
    mixed_weight: float | None = None
    joint_forward: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("self_training.momentum", self.momentum, 0, 1)
        if self.mixed_weight is not None:
            check_range("self_training.mixed_weight", self.mixed_weight, 0)


@dataclass(frozen=True)
class SourceConfig:
    """The supervised part.

    Args:
        class_balance: Exponent of inverse-frequency class weights in the *source* loss; 0 switches them off, as in
            the paper. Never used on pseudo-labels: there they break self-training.
        augmentation: Photometric augmentation of the source images; none in the paper.
    """

    class_balance: float = 0.0
    augmentation: AugmentationConfig | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("source.class_balance", self.class_balance, 0)


@dataclass(frozen=True)
class HRDAConfig:
    """Training of HRDA; whether the network is one is said by `network.hrda`.

    Args:
        detail_weight: Share of the detail crop's loss.
        official_offsets: Never draw the last offset of the detail crop, like the authors' code.
    """

    detail_weight: float = 0.1
    official_offsets: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("hrda.detail_weight", self.detail_weight, 0, 1)


@dataclass(frozen=True)
class InferenceConfig:
    """How pictures are evaluated and predicted.

    Args:
        mode: `whole`, or `slide` for overlapping windows whose logits are averaged.
        window: Height and width of a window, pixels.
        stride: Distance of two windows, pixels; None: half a window.
        window_batch: Windows that pass the network at once: more is faster on a GPU and takes more memory.
    """

    mode: Literal["whole", "slide"] = "whole"
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    window_batch: int = 1

    def __post_init__(self) -> None:
        """Check that a window is given to slide.

        Raises:
            ConfigError: If it is not, or a number is not positive.
        """
        check_range("inference.window_batch", self.window_batch, 1)
        if self.mode == "slide" and self.window is None:
            raise ConfigError("inference.mode: slide needs a window, for example inference.window: [1080, 1080].")

    def predict(self, network: Segmentor, images: Tensor) -> Tensor:
        """Logits of images: (B, 3, H, W) -> (B, C, H, W)."""
        return network.predict(images, self.mode, self.window, self.stride, self.window_batch)
