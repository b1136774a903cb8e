"""Settings of the adaptation task that belong to no part of the method alone."""

from dataclasses import dataclass

from dsrnss.adaptation.augmentation import AugmentationConfig
from dsrnss.errors import check_range


@dataclass(frozen=True)
class SelfTrainingConfig:
    """The teacher and the mixed loss.

    Args:
        momentum: Final momentum of the teacher's moving average.
        teacher_dropout: Leave the teacher's dropout and stochastic depth on, as officially.
        adapt_to_reference: With probability 0.5 a step adapts to the day reference instead of the night image.
        mixed_weight: Weight of the mixed loss.
        joint_forward: Pass source and mixed images through the student as one batch, so that batch norms see both:
            for backbones with batch norm. Officially one after the other.
    """

    momentum: float = 0.999
    teacher_dropout: bool = False
    adapt_to_reference: bool = False
    mixed_weight: float = 1.0
    joint_forward: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("self_training.momentum", self.momentum, 0, 1)
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
