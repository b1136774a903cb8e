"""Classes of the user's own, named by their path: imported, checked and called.

A class path that the user wrote, in an experiment or in Python, is imported. One that a *file of weights* names is not:
reading a file never runs code that it chooses.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import nn

from dsrnss.errors import CheckpointError, ConfigError, DsrnssError, did_you_mean
from dsrnss.models.config import NetworkConfig, is_class_path, split_part

_OUR_MODELS = "dsrnss.models."
"""Modules below this run nothing when they are imported: a file may name their classes."""
_LIBRARIES = ("torch", "torchvision", "torchmetrics", "lightning")
"""This package imports them itself: that they are imported does not say that the user wants their classes."""


def import_named(name: str) -> ModuleType:
    """Import a module of the user's.

    Raises:
        ConfigError: If there is none of this name, or it fails when it is imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"There is no module '{name}': nothing named '{error.name}' is installed, in the current folder or on "
                "PYTHONPATH."
            ) from error
        raise ConfigError(f"The module '{name}' needs '{error.name}', which is not installed.") from error
    except DsrnssError:
        raise
    except Exception as error:  # it is anybody's code
        raise ConfigError(f"The module '{name}' fails when imported: {type(error).__name__}: {error}") from error


def import_class(kind: str, path: str) -> type[nn.Module]:
    """The class at a path.

    Args:
        kind: `backbone` or `head`, for messages.
        path: Module and class, joined by a dot.

    Raises:
        ConfigError: If there is no such module or class, or it is no `nn.Module`.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = import_named(module_name)
    except ConfigError as error:
        raise ConfigError(f"The {kind} '{path}': {error}") from error
    found = getattr(module, name, None)
    if found is None:
        guess = did_you_mean(name, [key for key, value in vars(module).items() if _is_module(value)])
        raise ConfigError(f"The {kind} '{path}': the module '{module_name}' has no class '{name}'.{guess}")
    if not _is_module(found):
        raise ConfigError(f"The {kind} '{path}' is no network: expected a class derived from torch.nn.Module.")
    return found  # type: ignore[no-any-return]


def construct(
    kind: str,
    found: type[nn.Module],
    given: Mapping[str, Any],
    offered: Mapping[str, Any],
    init_args: Mapping[str, Any],
) -> nn.Module:
    """Call a class of a network's part.

    Args:
        kind: `backbone` or `head`, for messages.
        found: The class.
        given: Arguments that every class of this kind takes.
        offered: Arguments that it is given if it names them.
        init_args: The user's; they win.

    Raises:
        ConfigError: Naming the argument that it does not take, or needs; or with what it said itself.
    """
    title = f"The {kind} '{found.__module__}.{found.__qualname__}'"
    signature = inspect.signature(found)
    arguments = {**given, **{key: value for key, value in offered.items() if key in signature.parameters}, **init_args}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        names = ", ".join(arguments) or "nothing"
        raise ConfigError(f"{title} is called with {names}, of which init_args are yours: {error}.") from error
    try:
        json.dumps(init_args)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{title}: init_args are stored beside the weights as JSON: numbers, texts, lists and mappings ({error})."
        ) from error
    try:
        return found(**arguments)
    except DsrnssError:
        raise
    except Exception as error:  # it is anybody's code
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(f"{title} cannot be built of ({shown}): {type(error).__name__}: {error}") from error


def own_classes(config: NetworkConfig) -> dict[str, str]:
    """The class paths of a network that lead out of this package, by `backbone` and `head`."""
    names = {kind: split_part(kind, getattr(config, kind))[0] for kind in ("backbone", "head")}
    return {kind: name for kind, name in names.items() if is_class_path(name) and not name.startswith(_OUR_MODELS)}


def check_imported(config: NetworkConfig, source: str) -> None:
    """Refuse a network of a file whose classes the user has not imported himself.

    Args:
        config: As the file describes it.
        source: The file, for messages.

    Raises:
        CheckpointError: Naming the class and what to import.
    """
    for kind, path in own_classes(config).items():
        module, _, name = path.rpartition(".")
        if module not in sys.modules:
            raise CheckpointError(
                f"'{source}': the network's {kind} is '{path}', code that is not part of dsrnss. If you know it, "
                f"import it first: `import {module}`."
            )
        # not getattr: a module may import others when it is asked for a name
        found = vars(sys.modules[module]).get(name)
        if module.partition(".")[0] in _LIBRARIES or not _is_module(found):
            raise CheckpointError(f"'{source}': the network's {kind} is '{path}', which is no {kind} of your own.")


def _is_module(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)
