"""Silences what Lightning says about itself and not about the experiment."""

import logging
import warnings

_CHATTER = (
    "litlogger",
    "litmodels",
    "GPU available",
    "TPU available",
    "`Trainer.fit` stopped",
    "Seed set to",
    "`weights_only` was not set",
)
_WARNINGS = (
    "does not have many workers",
    "smaller than the logging interval",
    "treespec",
    "in eval mode at the start of training",  # the teacher
    "exists and is not empty",
    "callbacks used to create the checkpoint need to be provided",
    # a resumed run has a folder of its own, and its data goes on by the count of batches seen
    "The dirpath has changed",
    "your dataloader is not resumable",
    "when logging on epoch level in distributed setting",  # what is logged was summed before
    "returned `None`. If this was on purpose",  # a skipped batch, which has a warning of its own
)


def hush() -> None:
    """Leave out the messages and warnings that are of no use to the user."""
    for text in _WARNINGS:
        warnings.filterwarnings("ignore", f".*{text}.*")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            if _useful not in handler.filters:
                handler.addFilter(_useful)


def _useful(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in _CHATTER)
