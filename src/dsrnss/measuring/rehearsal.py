"""A rehearsal of GPU work on a machine without one.

Tensors of the device are fake: they have a shape, a type and a device, and no values. Tensors of the host are real. A
dispatch mode stands between the two and writes down, with its line, whatever makes the host wait for the device or
sends it something; torch itself refuses to mix both in one operation.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import dsrnss

SOURCE = Path(dsrnss.__file__).parent
_ASKED = {"_local_scalar_dense", "item", "is_nonzero", "equal", "bincount", "nonzero", "masked_select", "_unique2"}
"""Operations whose result, or its shape, the host has to know."""


class Rehearsal(TorchDispatchMode):
    """Runs host work, fakes device work, and writes down what passes between the two.

    Args:
        device: Of the fake tensors. The autograd engine needs a driver for `cuda`: to rehearse a backward pass, `cpu`.

    Attributes:
        syncs: Where the host waits for the device -> how often: blocking copies in either direction among them.
        uploads: Where the host sends something, waiting or not -> how often.
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = torch.device(device, 0) if device == "cuda" else torch.device(device)
        self.fakes = FakeTensorMode()
        self.syncs: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()

    def fake(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor on the device."""
        with self.fakes:
            return torch.empty(shape, dtype=dtype, device=self.device)

    def upload(self, tensor: Tensor) -> Tensor:
        """The device's counterpart of a tensor of the host; not written down."""
        with self.fakes:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=self.device)

    def move(self, module: nn.Module) -> None:
        """Bring the parameters and buffers of a module to the device, in place."""
        moved: dict[int, Any] = {}
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    new = nn.Parameter(self.upload(parameter), requires_grad=parameter.requires_grad)
                    part._parameters[name] = moved.setdefault(id(parameter), new)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = moved.setdefault(id(buffer), self.upload(buffer))

    def __enter__(self) -> "Rehearsal":
        self._patches = ExitStack()
        self._patches.enter_context(mock.patch("torch.cuda._lazy_init", lambda: None))
        # it is asked for at each operation, and takes longer than the fake operation
        self._patches.enter_context(mock.patch("torch.cuda.is_available", lambda: False))
        # else torch.tensor(..., device="cuda") would ask the driver before anything is dispatched
        self._lifted = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()  # type: ignore[no-any-return,no-untyped-call]

    def __exit__(self, *reason: Any) -> None:
        self._patches.close()
        torch._C._set_only_lift_cpu_tensors(self._lifted)
        super().__exit__(*reason)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        on_device = any(isinstance(tensor, FakeTensor) for tensor in tensors)
        name = func.overloadpacket.__name__
        if self.device.type == "cuda":
            goal = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
            if goal == "cpu" and on_device:
                return self._download(func, args, kwargs)
            if name == "copy_" and on_device and not isinstance(args[0], FakeTensor):
                self._wait(name)
                return args[0]
            self._see_upload(name, args, kwargs, tensors, goal == "cuda")
            on_device |= goal == "cuda"
        if on_device and (name in _ASKED or (name == "index" and any(map(_is_mask, args[1])))):
            self._wait(name)
            return self._guess(name, args, kwargs)
        if not on_device:
            return func(*args, **kwargs)
        if not all(isinstance(tensor, FakeTensor) for tensor in tensors):
            args, kwargs = tree_map_only(Tensor, self._as_fake, (args, kwargs))
        return self.fakes.dispatch(func, types, args, kwargs)

    def _see_upload(self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], to_device: bool) -> None:
        on_device = [isinstance(tensor, FakeTensor) for tensor in tensors]
        if to_device and tensors and not any(on_device):
            self._send(name, waits=not kwargs.get("non_blocking"))
        elif any(on_device) and not all(on_device):
            if name == "copy_":
                self._send(name, waits=not (args[2] if len(args) > 2 else kwargs.get("non_blocking")))
            elif "index" in name:
                self._send(name, waits=True)  # indices of the host are copied

    def _as_fake(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fakes.from_tensor(tensor)

    def _download(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        if not kwargs.get("non_blocking"):
            self._wait("to the host")
        with self.fakes:
            shape = func(*args, **kwargs)
        return torch.ones(shape.shape, dtype=shape.dtype)

    def _guess(self, name: str, args: Any, kwargs: Any) -> Any:
        """What the device might have answered: yes, one, all of it."""
        first = args[0]
        if name in ("_local_scalar_dense", "item", "is_nonzero", "equal"):
            number = name in ("_local_scalar_dense", "item")
            return torch.ones((), dtype=first.dtype if number else torch.bool).item()
        if name == "bincount":
            return self.fake((max(kwargs.get("minlength", 0), *args[2:3], 1),), torch.int64)
        if name == "nonzero":
            return self.fake((first.numel(), first.ndim), torch.int64)
        if name in ("masked_select", "index"):
            return self.fake((first.numel(),), first.dtype)
        return tuple(self.fake((20,), dtype) for dtype in (first.dtype, torch.int64, torch.int64))

    def _wait(self, name: str) -> None:
        self.syncs[f"{where()}: {name}"] += 1

    def _send(self, name: str, *, waits: bool) -> None:
        self.uploads[f"{where()}: {name}"] += 1
        if waits:
            self._wait(f"{name} to the device")


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def where() -> str:
    """The innermost line of the package that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if SOURCE in path.parents and path.parent != Path(__file__).parent:
            return f"{path.relative_to(SOURCE)}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


@contextmanager
def autocast(device: str, dtype: torch.dtype | None) -> Iterator[None]:
    """`torch.autocast` that does not look for a GPU; None: none."""
    if dtype is None:
        yield
        return
    with (
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        mock.patch("torch.cuda.is_bf16_supported", lambda *_: True),
        torch.autocast(device, dtype),
    ):
        yield
