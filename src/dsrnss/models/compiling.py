"""Networks compiled part by part by `torch.compile`; windows and views stay a matter of Python."""

import torch

from dsrnss.errors import HardwareError
from dsrnss.models.segmentor import Segmentor


def compile_parts(
    network: Segmentor, device: torch.device, *, dynamic: bool | None = None, options: dict[str, bool] | None = None
) -> None:
    """Compile backbone, head and what else a network is made of, where they are: parameters keep their names.

    Args:
        network: The network.
        device: Where it runs.
        dynamic: Once for all sizes of pictures; None: as torch finds it useful.
        options: Of torch's compiler.

    Raises:
        HardwareError: If this machine has no compiler.
    """
    try:  # what is missing shows only here
        torch.compile(lambda values: values + 1)(torch.zeros(2, device=device))
    except Exception as error:  # the compiler raises whatever it stumbles over
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        needed = "a C++ compiler (g++, or the one that CXX names)" if device.type == "cpu" else "Triton"
        raise HardwareError(
            f"Nothing can be compiled for {device} here ({reason}): torch.compile needs {needed}. Install it, or leave "
            "out 'compile'."
        ) from error
    for part in network.children():
        part.compile(dynamic=dynamic, options=options)
