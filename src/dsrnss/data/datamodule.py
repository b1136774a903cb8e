"""The loaders of an adaptation run: labelled source, unlabelled target, named evaluation sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader

from dsrnss.data.base import SegmentationDataset, Size
from dsrnss.data.checking.quick import check_crop_size, quick_check
from dsrnss.data.loading import Loader, PositionSampler, TrainStream, make_eval_loader, make_loader
from dsrnss.data.sampling import ClassSampler, RareClassSampling, sample_weights, weighted_sum
from dsrnss.errors import CheckpointError, ConfigError, check_range
from dsrnss.presence import classes_present

_DEFAULT_SAMPLING = RareClassSampling()
_SETS = {"validate": "val", "test": "test", "predict": "predict"}
_SOURCE_STREAM = 0
_TARGET_STREAM = 1


class AdaptationDataModule(LightningDataModule):
    """Batches for adaptation from a labelled source to an unlabelled target.

    A training batch is `{"source": {...}, "target": {...}}` (no target: only the source), each with

    - `image`: (B, 3, h, w) float32, normalised by the mean and deviation of ImageNet;
    - `label`: (B, h, w) int64 (target: only if its data set is labelled, for measuring pseudo-labels);
    - `present`: the classes of each label, of the source alone, once the trainer has taken the batch;
    - `reference`: (B, 3, h, w), `flow`: (B, 2, h, w) in pixels, `confidence`: (B, 1, h, w), where the set has them;
    - `box`: (B, 4) top, left, height and width of the crops, as shares of the sides of their pictures;
    - `name`: list of str.

    An evaluation batch is `{"image", "label", "name"}` of whole pictures; a label may be larger than its picture.
    The k-th training sample is a function of (seed, stream, k) alone, and the number of batches given is in the
    checkpoint, so a resumed run sees what the uninterrupted one would have seen.

    Args:
        source: Labelled training set; `MultiSource` joins several.
        target: Unlabelled training set; None: train on the source alone.
        val: Named sets of `validate` and of validation while fitting.
        test: Named sets of `test`.
        predict: Named sets of `predict`.
        crop_size: (height, width) of training crops, pixels.
        source_batch_size: Source samples a batch.
        target_batch_size: Target samples a batch.
        eval_batch_size: Pictures a batch in evaluation; above 1 they must have one size.
        workers: Processes that load, for each loader; 0: this process.
        rare_class_sampling: How source images are drawn; None: each once an epoch.
        cat_max_ratio: A source crop with a larger share of one class is drawn again.
        flip: Probability of mirroring a sample.
        scale: Least and greatest scale of training pictures: a part of crop_size / scale becomes the crop, drawn for
            each sample, as likely to halve as to double, and never more than the picture.
        seed: Seed of all draws.

    Attributes:
        samples_seen: Training samples of all runs and processes so far, of `source` and of `target`.
    """

    def __init__(
        self,
        source: SegmentationDataset,
        target: SegmentationDataset | None = None,
        val: dict[str, SegmentationDataset] | None = None,
        test: dict[str, SegmentationDataset] | None = None,
        predict: dict[str, SegmentationDataset] | None = None,
        crop_size: tuple[int, int] = (512, 512),
        source_batch_size: int = 2,
        target_batch_size: int = 2,
        eval_batch_size: int = 1,
        workers: int = 4,
        rare_class_sampling: RareClassSampling | None = _DEFAULT_SAMPLING,
        cat_max_ratio: float = 0.75,
        flip: float = 0.5,
        scale: tuple[float, float] = (1.0, 1.0),
        seed: int = 0,
    ) -> None:
        super().__init__()
        # of few pictures to predict, a process may get none
        self.allow_zero_length_dataloader_with_multiple_devices = True
        _check_numbers(crop_size, (source_batch_size, target_batch_size, eval_batch_size), workers, flip, cat_max_ratio)
        check_range("scale", scale[0], 0.1)
        check_range("scale, its greatest value", scale[1], scale[0], 10)
        self.source = source
        self.target = target
        self.val = dict(val or {})
        self.test = dict(test or {})
        self.predict = dict(predict or {})
        self.crop_size: Size = (int(crop_size[0]), int(crop_size[1]))
        self.source_batch_size = source_batch_size
        self.target_batch_size = target_batch_size
        self.eval_batch_size = eval_batch_size
        self.workers = workers
        self.rare_class_sampling = rare_class_sampling
        self.cat_max_ratio = cat_max_ratio
        self.flip = flip
        self.scale = scale
        self.seed = seed
        self.samples_seen = {"source": 0, "target": 0}
        self._class_sampler: ClassSampler | None = None

    def setup(self, stage: str) -> None:
        """Verify the sets that a stage uses, and only those; fill those kept in memory before workers copy them.

        Raises:
            DatasetNotFoundError: If one is not where it was looked for.
            DataError: If files of one are missing.
            ConfigError: If a set cannot do what is asked of it, or its pictures are smaller than the crop.
        """
        stage = getattr(stage, "value", stage)  # Lightning gives an enumeration
        if stage == "fit" and not self.source.labelled:
            raise ConfigError(f"The source set ({_describe(self.source)}) has no labels: training needs them.")
        evaluated = self._evaluated(stage)
        if not evaluated and stage in _SETS:
            raise ConfigError(f"The experiment names no set to {stage}: add one under data.{_SETS[stage]}.")
        for name, dataset in evaluated.items():
            if stage != "predict" and not dataset.labelled:
                group = "test" if stage == "test" else "validation"
                raise ConfigError(f"The {group} set '{name}' ({_describe(dataset)}) has no labels to compare with.")
            if stage != "predict":
                self._check_classes(name, dataset)
        training = [self.source, self.target] if stage == "fit" else []
        for used in (*training, *self._evaluated(stage).values()):
            if used is not None:
                used.verify()
                quick_check(used)
                if any(used is one for one in training):
                    check_crop_size(used, self.crop_size)
                if used.in_memory and self.workers:
                    used.prepare()

    def _check_classes(self, name: str, dataset: SegmentationDataset) -> None:
        ours, theirs = self.source.classes, dataset.classes
        if ours != theirs:
            differing = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
            what = (
                f"{len(ours)} classes, not {len(theirs)}"
                if differing is None
                else f"'{ours[differing]}' as class {differing}, not '{theirs[differing]}'"
            )
            raise ConfigError(
                f"The set '{name}' ({_describe(dataset)}) cannot measure this training: the source set "
                f"({_describe(self.source)}) has {what}."
            )

    def batches_per_epoch(self) -> int:
        """Batches of a training epoch of each process: the set that is exhausted first ends it.

        Raises:
            ConfigError: If a set is smaller than its batch.
        """
        sizes = {"source": (self.source, self.source_batch_size)}
        if self.target is not None:
            sizes["target"] = (self.target, self.target_batch_size)
        world, _ = self._processes()
        for name, (dataset, batch_size) in sizes.items():
            if len(dataset) < batch_size * world:
                raise ConfigError(
                    f"The {name} set ({_describe(dataset)}) has {len(dataset)} samples, fewer than "
                    f"{name}_batch_size {batch_size}" + (f" on {world} devices." if world > 1 else ".")
                )
        return min(len(dataset) // (batch_size * world) for dataset, batch_size in sizes.values())

    def train_dataloader(self) -> CombinedLoader:
        """Batches of source and target together."""
        batches = self.batches_per_epoch()
        loaders = {"source": self._train_loader("source", self._source_stream(), self.source_batch_size, batches)}
        if self.target is not None:
            stream = self._stream(self.target, _TARGET_STREAM)
            loaders["target"] = self._train_loader("target", stream, self.target_batch_size, batches)
        return CombinedLoader(loaders, "min_size")

    def val_dataloader(self) -> list[Loader]:
        """One loader for each named validation set, in their order."""
        return self._eval_loaders(self.val)

    def test_dataloader(self) -> list[Loader]:
        """One loader for each named test set, in their order."""
        return self._eval_loaders(self.test)

    def predict_dataloader(self) -> list[Loader]:
        """One loader for each named set to predict, in their order."""
        return self._eval_loaders(self.predict, equal=False)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Find the classes of the source labels while they are on the host: later a GPU would be waited for."""
        if self.trainer is not None and self.trainer.training:
            batch["source"]["present"] = classes_present(batch["source"]["label"])
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count the samples that are used, not those that are fetched ahead."""
        if self.trainer is not None and self.trainer.training:
            world, _ = self._processes()
            self.samples_seen["source"] += self.source_batch_size * world
            self.samples_seen["target"] += self.target_batch_size * world
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the streams are, for the checkpoint."""
        return {"seed": self.seed, "samples_seen": dict(self.samples_seen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was, with batches of whatever size.

        Raises:
            CheckpointError: If the streams have another seed.
        """
        training = self.trainer is None or self.trainer.state.fn == "fit"
        if training and state_dict["seed"] != self.seed:
            raise CheckpointError(
                f"data.seed was {state_dict['seed']} and is {self.seed}: the order of the samples cannot change on the "
                "way. Leave it as it was, or start a new run from the weights."
            )
        self.samples_seen = dict(state_dict["samples_seen"])

    def source_size(self) -> Size:
        """(height, width) of the source pictures before cropping."""
        return self.source.sample_size()

    def source_counts(self) -> npt.NDArray[np.int64]:
        """(C,) pixels of each class in the source set; sets that it joins count by their shares."""
        return weighted_sum(self.source.class_counts(), sample_weights(self.source.members()))

    def source_places(self, grid: tuple[int, int]) -> npt.NDArray[np.int64]:
        """(C, rows, columns) pixels of each class in each cell of a (rows, columns) grid over the source pictures."""
        return self.source.class_places(grid)

    def set_names(self, stage: str) -> list[str]:
        """Names of the sets of `val`, `test` or `predict`, in the order of their loaders."""
        return list({"val": self.val, "test": self.test, "predict": self.predict}[stage])

    def _stream(self, dataset: SegmentationDataset, number: int) -> TrainStream:
        return TrainStream(dataset, self.crop_size, seed=self.seed, stream=number, flip=self.flip, scale=self.scale)

    def _source_stream(self) -> TrainStream:
        rcs = self.rare_class_sampling
        stream = self._stream(self.source, _SOURCE_STREAM)
        stream.cat_max_ratio = self.cat_max_ratio
        if rcs is not None:
            if self._class_sampler is None:
                counts, weights = self.source.class_counts(), sample_weights(self.source.members())
                self._class_sampler = ClassSampler(counts, rcs, self.source.counted_size(), weights)
            sets = [member.dataset for member in self.source.members()]
            stream.class_sampler = self._class_sampler
            limits = [rcs.crop_limit(one.sample_size()) for one in sets]
            stream.crop_limits = np.repeat(limits, [len(one) for one in sets]).tolist()
            stream.attempts = rcs.attempts
        return stream

    def _train_loader(self, name: str, stream: TrainStream, batch_size: int, batches: int) -> Loader:
        world, rank = self._processes()

        def start() -> int:
            return self.samples_seen[name]

        sampler = PositionSampler(batches * batch_size, start, world, rank)
        return make_loader(
            stream, batch_size, self.workers, sampler=sampler, seed=self.seed, for_gpu=self._trains_on_gpu()
        )

    def _processes(self) -> tuple[int, int]:
        """Number of training processes, and which of them this is."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _eval_loaders(self, sets: Mapping[str, SegmentationDataset], *, equal: bool = True) -> list[Loader]:
        world, rank = self._processes()
        how = {"equal": equal, "for_gpu": self._trains_on_gpu()}
        return [make_eval_loader(one, self.eval_batch_size, self.workers, world, rank, **how) for one in sets.values()]

    def _trains_on_gpu(self) -> bool:
        """Whether batches go to a GPU; without a trainer that is not known, and they may."""
        return self.trainer is None or self.trainer.strategy.root_device.type == "cuda"

    def _evaluated(self, stage: str) -> Mapping[str, SegmentationDataset]:
        return {"fit": self.val, "validate": self.val, "test": self.test, "predict": self.predict}.get(stage, {})


def _check_numbers(
    crop: tuple[int, int], batch_sizes: tuple[int, ...], workers: int, flip: float, cat_max_ratio: float
) -> None:
    if min(crop) < 1:
        raise ConfigError(f"crop_size must be two positive numbers (height, width), not {crop}.")
    if min(batch_sizes) < 1:
        raise ConfigError(f"Batch sizes must be at least 1, not {min(batch_sizes)}.")
    if workers < 0:
        raise ConfigError(f"workers must be 0 or more, not {workers}.")
    check_range("flip", flip, 0, 1)
    check_range("cat_max_ratio", cat_max_ratio, 0.01, 1)


def _describe(dataset: SegmentationDataset) -> str:
    return f"{type(dataset).__name__}, split '{dataset.split}'"
