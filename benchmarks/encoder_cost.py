"""Parameters, operations and memory of training with an encoder, computed on fake tensors: no GPU, no weights.

    python benchmarks/encoder_cost.py --crop 1024 --batch 2

Per image: parameters, multiply-adds of a forward pass, and the bytes that autograd keeps for the backward pass (each
storage once, the loss at the image's size included), in float32 and with a network of bfloat16. A step of the method
keeps the passes of source, mixed and masked images at once; beside them lie weights, gradients and AdamW's two moments
(16 bytes a parameter), the teacher (4) and the frozen reference encoder (4 a parameter of the backbone). What the
allocator wastes, the aligner and the batch are not counted: keep a tenth and 2 GB free.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from dsrnss import NetworkConfig, build_segmentor
from dsrnss.measuring.counting import Counter

NETWORKS = {
    "DINOv2-S": NetworkConfig("timm/vit_small_patch14_reg4_dinov2.lvd142m", "segformer"),
    "DINOv2-B": NetworkConfig("timm/vit_base_patch14_reg4_dinov2.lvd142m", "segformer"),
    "DINOv2-L": NetworkConfig("timm/vit_large_patch14_reg4_dinov2.lvd142m", "segformer"),
    "DINOv3-S": NetworkConfig("timm/vit_small_patch16_dinov3.lvd1689m", "segformer"),
    "DINOv3-B": NetworkConfig("timm/vit_base_patch16_dinov3.lvd1689m", "segformer"),
    "DINOv3-L": NetworkConfig("timm/vit_large_patch16_dinov3.lvd1689m", "segformer"),
    "MiT-B5, DAFormer": NetworkConfig("mit_b5", "daformer"),
    "MiT-B5, DAFormer, HRDA": NetworkConfig("mit_b5", "daformer", hrda=True),
}
GRADIENT_PASSES = 3
"""Source, mixed and masked images."""


def kept_bytes(config: NetworkConfig, crop: int, dtype: torch.dtype) -> tuple[int, int, int, int]:
    """Parameters, those of the backbone, multiply-adds and bytes kept, of one image."""
    with torch.device("meta"):
        network = build_segmentor(config).to(dtype)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network.to_empty(device="cpu")
        own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in own:
                kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)  # so that no other storage takes its place
            return tensor

        alive: list[Tensor] = []
        images, labels = torch.empty(1, 3, crop, crop, dtype=dtype), torch.zeros(1, crop, crop, dtype=torch.int64)
        counter = Counter()
        with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = network(images, (0, 0) if config.hrda else None)
            logits = F.interpolate(output.logits.float(), (crop, crop), mode="bilinear", align_corners=False)
            F.cross_entropy(logits, labels)
        parameters, backbone = (sum(p.numel() for p in m.parameters()) for m in (network, network.backbone))
    return parameters, backbone, counter.operations // 2, sum(kept.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=2, help="images of each domain a step")
    args = parser.parse_args()
    print(
        "| network | M parameters | T multiply-adds an image | GB kept an image, float32 | bfloat16 "
        "| GB a step, float32 | bfloat16 |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, config in NETWORKS.items():
        parameters, backbone, operations, full = kept_bytes(config, args.crop, torch.float32)
        half = kept_bytes(config, args.crop, torch.bfloat16)[3]
        states = 20 * parameters + 4 * backbone
        steps = [(states + GRADIENT_PASSES * args.batch * kept) / 1e9 for kept in (full, half)]
        print(
            f"| {name} | {parameters / 1e6:.0f} | {operations / 1e12:.2f} | {full / 1e9:.1f} | {half / 1e9:.1f} | "
            f"{steps[0]:.0f} | {steps[1]:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
