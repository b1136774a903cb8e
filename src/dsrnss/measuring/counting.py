"""Operations and memory of work on tensors, counted from their shapes: the same on every machine."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import conv_flop_count, flop_registry, sdpa_backward_flop, sdpa_flop, shape_wrapper

from dsrnss.measuring.stages import Cost

_BLOCK = 512
"""Bytes that the allocator of a GPU rounds up to."""
_aten: Any = torch.ops.aten


def _convolution_backward(
    gradient: Sequence[int], images: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any
) -> int:
    """As many as forward for each of the two gradients; torch's own formula leaves the groups out of account."""
    (transposed, mask) = rest[4], rest[7]
    forward = conv_flop_count(list(images), list(weight), list(gradient), transposed)
    return int(sum(mask[:2]) * forward)


FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    _aten.convolution_backward: shape_wrapper(_convolution_backward),
    _aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
}
"""Operation -> its multiplications and additions, from the shapes of its arguments."""


class Counter(TorchDispatchMode):
    """Counts operations, and the bytes of all tensors that are alive; a gauge of `Stages`.

    Operations are the multiplications and additions of convolutions, matrix products and attention. What kernels need
    for themselves, and what an allocator wastes, is not counted.

    Attributes:
        operations: So far.
        bytes: Alive now.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.bytes = 0
        self._peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def hold(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that were there before."""
        for tensor in tensors:
            self._see(tensor)

    def read(self) -> Mapping[str, Any]:
        """Operations so far."""
        return {"operations": self.operations}

    def between(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Cost:
        """Operations between two readings."""
        return {key: after[key] - before[key] for key in before}

    def peak(self) -> float:
        """The most bytes that were alive at once."""
        return float(self._peak)

    def forget_peak(self) -> None:
        """The peak is what is alive now."""
        self._peak = self.bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **kwargs, out_val=out)
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self._see(value)
        return out

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        size = -(-storage.nbytes() // _BLOCK) * _BLOCK

        def gone(_: Any) -> None:
            self.bytes -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, gone)
        self.bytes += size
        self._peak = max(self._peak, self.bytes)


class GpuAutocast(TorchFunctionMode):
    """Lets functions compute in 32 bits that autocast runs so on a GPU, and not on the CPU."""

    _NAMES = (
        *("cosine_similarity", "cross_entropy", "cumsum", "exp", "group_norm", "layer_norm", "log", "log_softmax"),
        *("logsumexp", "mse_loss", "nll_loss", "norm", "normalize", "pow", "prod", "reciprocal", "rsqrt", "softmax"),
        *("softplus", "sum"),
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self._NAMES:
            args, kwargs = tree_map_only(Tensor, _full, (args, kwargs))
        return func(*args, **kwargs)


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
