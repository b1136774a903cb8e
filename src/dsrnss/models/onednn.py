"""Linear layers on a CPU by oneDNN where no gradient is asked for.

Torch gives them to MKL, which keeps to half the width of the registers on CPUs that are not Intel's, and convolutions
of one pixel too while it runs on one thread. The numbers are the same up to rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def linear(layer: nn.Linear, tokens: Tensor) -> Tensor:
    """A linear layer of tokens: (..., C_in) -> (..., C_out)."""
    if _LINEAR is not None and _is_plain(tokens):
        fast: Tensor = _LINEAR(tokens, layer.weight, layer.bias, "none", [], "")
        return fast
    plain: Tensor = layer(tokens)
    return plain


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of one pixel, stride 1: features (B, C_in, H, W), weight (C_out, C_in, 1, 1), bias (C_out)."""
    if _LINEAR is not None and _is_plain(features):
        fast: Tensor = torch.mkldnn_convolution(features, weight, bias, (0, 0), (1, 1), (1, 1), 1)
        return fast
    return F.conv2d(features, weight, bias)


def _is_plain(values: Tensor) -> bool:
    """Whether these are just numbers on a CPU: no gradient, no graph, no other precision."""
    if torch.is_grad_enabled() or type(values) is not Tensor or not values.is_cpu or values.dtype != torch.float32:
        return False
    tracing = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined, no-untyped-call]
    return not (tracing or torch.is_autocast_enabled("cpu"))
