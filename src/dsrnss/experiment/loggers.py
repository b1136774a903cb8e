"""Where a run is logged: TensorBoard and CSV in its folder, and what the experiment names besides."""

import importlib
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from dsrnss.errors import ConfigError

_log = logging.getLogger(__name__)

OPTIONAL = {
    "WandbLogger": ("wandb", "wandb"),
    "MLFlowLogger": ("mlflow", "mlflow"),
    "CometLogger": ("comet_ml", "comet-ml"),
    "NeptuneLogger": ("neptune", "neptune"),
}
"""Lightning's loggers that need a package of their own: the module, and what pip calls it."""


def default_loggers(root: Path, name: str, version: str) -> list[Logger]:
    """TensorBoard and CSV in one folder; CSV alone where TensorBoard cannot be imported.

    Args:
        root: The folder that holds the logs.
        name: Of the experiment, below `root`.
        version: Of the run, below `name`.
    """
    place: dict[str, Any] = {"save_dir": root, "name": name, "version": version}
    if not importable("torch.utils.tensorboard"):
        _log.info("TensorBoard cannot be imported here: this run is logged to metrics.csv alone.")
        return [CSVLogger(**place)]
    return [TensorBoardLogger(**place), CSVLogger(**place)]


def lacks_folder(loggers: Sequence[Any]) -> bool:
    """Whether none of the loggers gives the run a folder of its own, so that the default ones should join them."""
    return not any(isinstance(logger, TensorBoardLogger | CSVLogger) for logger in loggers)


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def importable(module: str) -> bool:
    """Whether a module can really be imported: one that is installed may lack what it needs."""
    try:
        importlib.import_module(module)
    except Exception:  # whatever a broken package stumbles over
        return False
    return True


def check_installed(loggers: Any) -> None:
    """See that the packages of the named loggers are there.

    Args:
        loggers: `trainer.logger` of the experiment: a mapping with `class_path`, a list of such, or a plain value.

    Raises:
        ConfigError: Naming the package to install.
    """
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        path = logger.get("class_path", "") if isinstance(logger, Mapping) else str(getattr(logger, "class_path", ""))
        kind = str(path).rpartition(".")[2]
        module, package = OPTIONAL.get(kind, ("", ""))
        if module and not installed(module):
            raise ConfigError(f"trainer.logger: {kind} needs a package that is not installed: pip install {package}")
