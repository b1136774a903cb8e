"""Libraries that only some uses need, and that may not be installed."""

import importlib
from types import ModuleType

from dsrnss.errors import ConfigError


def optional(name: str, needed: str, install: str) -> ModuleType:
    """Import a library.

    Args:
        name: Of its module.
        needed: The beginning of the message: what needs which library.
        install: What `pip install` is given.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{needed}, which is not installed: pip install {install}.") from error
