"""Every idea of the method equals the authors' code, where the contract says so."""

import json

import numpy as np
import pytest
import torch
from golden import HERE, Golden

from dsrnss.adaptation.alignment.uawarpc_network import confidence
from dsrnss.adaptation.augmentation import (
    JitterDraw,
    blur_kernel_size,
    color_jitter,
    gaussian_blur,
)
from dsrnss.adaptation.geometry import warp
from dsrnss.adaptation.memory_bank import MemoryBank, MemoryBankConfig
from dsrnss.adaptation.mixing import PseudoLabels, apply_co_occurrence, class_masks, class_mix
from dsrnss.adaptation.refinement import RefinementConfig, normalised_entropy, refine
from dsrnss.labels import CITYSCAPES
from dsrnss.normalisation import IMAGENET_MEAN, IMAGENET_STD


@pytest.mark.parametrize("case", ["rand", "tiny", "zero", "int", "onerow"])
def test_warp(case: str) -> None:
    golden = Golden("07_warp")
    features = golden.tensor("x")
    if case == "onerow":
        features = features[:, :, :1]
    warped, valid = warp(features, golden.tensor(f"{case}_flow"))
    assert golden.relative_error(f"{case}_out", warped) < 1e-6
    assert torch.equal(valid, golden.tensor(f"{case}_mask").bool())


def _refinement_inputs() -> dict[str, torch.Tensor]:
    def logits(seed: int) -> torch.Tensor:
        return torch.from_numpy(4 * np.random.default_rng(seed).standard_normal((2, 19, 32, 48)).astype(np.float32))

    rng = np.random.default_rng(713)
    valid = torch.from_numpy(rng.random((2, 32, 48)) > 0.3)
    confidence = torch.from_numpy(rng.random((2, 1, 32, 48)).astype(np.float32))
    return {"trg": logits(711), "ref": logits(712), "valid": valid, "confidence": confidence}


@pytest.mark.parametrize(
    ("case", "config", "aligned", "masked"),
    [
        ("base", RefinementConfig(), True, True),
        ("disable_M", RefinementConfig(disable_m=True), True, True),
        ("disable_P", RefinementConfig(disable_p=True), True, True),
        ("both", RefinementConfig(disable_m=True, disable_p=True), True, True),
        ("gamma1", RefinementConfig(gamma=1.0), True, True),
        ("no_align", RefinementConfig(), False, False),
        ("no_mask", RefinementConfig(), True, False),
    ],
)
def test_refinement(case: str, config: RefinementConfig, aligned: bool, masked: bool) -> None:
    golden, x = Golden("07_eta_refine"), _refinement_inputs()
    valid, confidence = x["valid"] if masked else None, x["confidence"] if aligned else None
    refined = refine(x["trg"], x["ref"], valid, confidence, CITYSCAPES.large_static, config)
    assert golden.relative_error(case, refined) < 1e-6
    sums = refined.sum(1)
    assert [float(sums.min()), float(sums.max())] == pytest.approx(golden.meta[f"{case}_sum_range"], rel=1e-6)
    assert torch.equal(refined.argmax(1).byte(), golden.tensor(f"{case}_argmax"))


def test_entropy() -> None:
    golden = Golden("07_eta_refine")
    entropy = normalised_entropy(_refinement_inputs()["trg"])
    assert golden.relative_error("eta", entropy) < 1e-6
    assert (entropy.mean((1, 2)) ** 0.25).tolist() == pytest.approx(golden.meta["trust_s"], rel=1e-6)


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.0])
def test_confidence_of_a_log_variance(radius: float) -> None:
    golden = Golden("07_warp")
    assert golden.relative_error(f"conf_R{radius}", confidence(golden.tensor("logvar"), radius)) < 1e-6


def test_class_choice_and_masks() -> None:
    golden = Golden("07_dynamic_masks")
    for case in golden.meta["cases"]:
        chosen = [apply_co_occurrence(s["drawn"], s["classes"], CITYSCAPES.co_occurrence) for s in case["samples"]]
        assert chosen == [sorted(sample["final"]) for sample in case["samples"]]
        masks = class_masks(golden.tensor(f"{case['key']}_labels"), chosen)
        assert torch.equal(masks, golden.tensor(f"{case['key']}_masks").bool())


def test_the_mix_takes_one_where_the_mask_is_set() -> None:
    golden = Golden("07_dynamic_masks")
    mask, images, labels = (golden.tensor(f"mix_{key}") for key in ("mask", "data", "target"))
    pseudo = PseudoLabels(labels[1:].long(), torch.full((1, 4, 6), 0.5), torch.tensor(0.5))
    mixed = class_mix(mask[0].bool(), images[:1], labels[:1].long(), images[1:], pseudo)
    assert torch.equal(mixed.images, golden.tensor("mix_out_data"))
    assert torch.equal(mixed.labels, golden.tensor("mix_out_target")[0].long())


def test_memory_bank_keeps_and_pastes_as_officially() -> None:
    golden = Golden("07_bank")
    bank = MemoryBank((12, 14, 15, 17, 18), MemoryBankConfig(official=True))
    for call, (images, labels) in enumerate(zip(golden.tensor("images"), golden.tensor("labels"), strict=True)):
        bank.add(images, labels.long())
        held = golden.meta["history"][call]["ids"]
        assert len(bank.entries) == len(held)
        for entry, i in zip(bank.entries, held, strict=True):
            assert torch.equal(entry.images, golden.tensor("images")[i] * entry.mask[:, None])
    for i, entry in enumerate(bank.entries):
        assert torch.equal(entry.images, golden.tensor(f"bank{i}_feature"))
        assert torch.equal(entry.labels.byte(), golden.tensor(f"bank{i}_label"))
        assert torch.equal(entry.mask.byte(), golden.tensor(f"bank{i}_mask"))
    weights = torch.full((2, 6, 8), 0.3)
    pasted = bank.paste(golden.tensor("paste_in_img"), golden.tensor("paste_in_lbl").long(), weights)
    assert torch.equal(pasted[0], golden.tensor("paste_out_img"))
    assert torch.equal(pasted[1].byte(), golden.tensor("paste_out_lbl"))
    assert torch.equal(pasted[2], weights)


JITTER_CASES = json.loads((HERE / "07_color_jitter_blur_kornia058.json").read_text())


@pytest.mark.parametrize("case", range(len(JITTER_CASES["jitter_cases"])))
def test_color_jitter(case: int) -> None:
    golden = Golden("07_color_jitter_blur_kornia058")
    drawn = golden.meta["jitter_cases"][case]["params"]
    names = ("brightness_factor", "contrast_factor", "hue_factor", "saturation_factor")
    draw = JitterDraw(*(drawn[name][0] for name in names), order=[int(o) for o in drawn["order"]])
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    jittered = (color_jitter(golden.tensor("x")[0] * std + mean, draw) - mean) / std
    assert golden.relative_error(f"jitter{case}", jittered[None]) < 1e-5


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("brightness_+0.15", JitterDraw(1.15, 1, 0, 1, [0])),
        ("contrast_1.2", JitterDraw(1, 1.2, 0, 1, [1])),
        ("saturation_0.8", JitterDraw(1, 1, 0, 0.8, [2])),
        ("hue_0.1turn", JitterDraw(1, 1, 0.1, 1, [3])),
    ],
)
def test_each_step_of_the_jitter(name: str, draw: JitterDraw) -> None:
    golden = Golden("07_color_jitter_blur_kornia058")
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    jittered = color_jitter(golden.tensor("x")[0] * std + mean, draw)
    assert golden.relative_error(f"op_{name}", jittered[None]) < 1e-5


@pytest.mark.parametrize("case", range(len(JITTER_CASES["blur_cases"])))
def test_blur(case: int) -> None:
    golden = Golden("07_color_jitter_blur_kornia058")
    blurred = gaussian_blur(golden.tensor("x"), golden.meta["blur_cases"][case]["sigma"])
    assert golden.relative_error(f"blur{case}", blurred) < 1e-6


def test_blur_kernel_sizes() -> None:
    for side, size in JITTER_CASES["kernel_size_table"].items():
        assert blur_kernel_size(int(side)) == size
