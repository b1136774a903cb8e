"""Streams of training samples in which the k-th sample depends on nothing but (seed, stream, k).

Whatever the number of worker processes, and wherever a run was interrupted, position k gives the same pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler, default_collate

from dsrnss.data.base import Sample, SegmentationDataset, Size
from dsrnss.data.boxes import Box
from dsrnss.data.originals import invalid_mask, original_size
from dsrnss.data.sampling import ClassSampler
from dsrnss.data.transforms import (
    WantedClass,
    check_fits,
    flip_sample,
    random_box,
    random_cut,
    random_label_box,
    resize_sample,
    to_model_input,
)
from dsrnss.data.workers import start_worker
from dsrnss.errors import ConfigError, DataError, DsrnssError
from dsrnss.labels import IGNORE_INDEX

Batch = dict[str, Any]
Item = TypeVar("Item", covariant=True)
_EVALUATED = ("image", "label", "name")


class FailSafe(Dataset[Item], Generic[Item]):
    """A data set that hands a typed error on as a value, so that a worker process cannot bury it in a traceback."""

    def __getitems__(self, indices: Sequence[int]) -> list[Item] | DsrnssError:
        """The samples of a batch, or the error that one of them met."""
        try:
            return [self[index] for index in indices]
        except DsrnssError as error:
            return error


class TrainStream(FailSafe[Batch]):
    """Cropped, flipped and normalised samples by position.

    Args:
        dataset: Where samples come from.
        crop: (height, width) of the crops.
        seed: Seed of the run.
        stream: Number that sets this stream apart from others of the same seed.
        flip: Probability of mirroring.
        scale: Least and greatest scale of the pictures before cropping.
        class_sampler: Rare class sampling; None: every epoch visits each sample once, in an order of its own (of sets
            that are joined as many as their shares say).
        cat_max_ratio: Largest share of one class in a crop; None: crops do not look at labels.
        crop_limits: (N,) pixels of the drawn rare class that a crop of each sample should exceed.
        attempts: How often such a crop is drawn again.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        crop: Size,
        *,
        seed: int,
        stream: int,
        flip: float,
        scale: tuple[float, float] = (1.0, 1.0),
        class_sampler: ClassSampler | None = None,
        cat_max_ratio: float | None = None,
        crop_limits: Sequence[float] = (),
        attempts: int = 0,
    ) -> None:
        self.dataset = dataset
        self.crop = crop
        self.seed = seed
        self.stream = stream
        self.flip = flip
        self.scale = scale
        self.class_sampler = class_sampler
        self.cat_max_ratio = cat_max_ratio
        self.crop_limits = crop_limits
        self.attempts = attempts

    def __getitem__(self, position: int) -> Batch:
        """The sample of one position (0 or more, without end)."""
        rng = np.random.default_rng([self.seed, self.stream, position])
        wanted: WantedClass | None = None
        if self.class_sampler is not None:
            drawn, index = self.class_sampler.draw(rng)
            wanted = WantedClass(drawn, self.crop_limits[index], self.attempts)
        else:
            epoch, place = divmod(position, len(self.dataset))
            index = int(self._order(epoch)[place])
        shares: list[Tensor] = []

        def choose(size: Size, label: Tensor | None, name: str) -> Box:
            box = self._box(size, label, name, rng, wanted)
            shares.append(box.shares(size))
            return box

        cut: Sample = {**self.dataset.cropped(index, choose), "box": shares[-1]}
        sample = resize_sample(cut, self.crop)
        if rng.random() < self.flip:
            sample = flip_sample(sample)
        return to_model_input(sample)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        members = self.dataset.members()
        if len(members) == 1:
            return epoch_order(self.seed, self.stream, epoch, len(self.dataset))
        lengths, shares = tuple(len(member.dataset) for member in members), tuple(member.share for member in members)
        return joined_order(self.seed, self.stream, epoch, lengths, shares)

    def _box(
        self, size: Size, label: Tensor | None, name: str, rng: np.random.Generator, wanted: WantedClass | None
    ) -> Box:
        if label is not None and label.shape[-2:] != size:
            raise ConfigError(
                f"'{name}' has a label of another size than its picture: a training set needs resize_label: true."
            )
        check_fits(self.crop, size, name)
        cut = random_cut(size, self.crop, self.scale, rng)
        if self.cat_max_ratio is None or label is None:
            return random_box(size, cut, rng)
        if wanted is not None:  # its pixels are those of the crop, which the cut becomes
            area = cut[0] * cut[1] / (self.crop[0] * self.crop[1])
            wanted = replace(wanted, pixels=wanted.pixels * area)
        return random_label_box(label, cut, rng, self.cat_max_ratio, wanted)


@lru_cache(maxsize=8)
def epoch_order(seed: int, stream: int, epoch: int, length: int) -> npt.NDArray[np.int64]:
    """The order in which one epoch of a stream visits its samples, a permutation of 0..length-1."""
    # four numbers: never the seed of a sample, which has three
    return np.random.default_rng([seed, stream, epoch, length]).permutation(length)


@lru_cache(maxsize=8)
def joined_order(
    seed: int, stream: int, epoch: int, lengths: tuple[int, ...], shares: tuple[float, ...]
) -> npt.NDArray[np.int64]:
    """Which samples one epoch of a stream visits, of sets that lie one after the other: each set by its share.

    A set goes on in the next epoch where it stopped in this one, so that each of its samples comes before any repeats.
    """
    total = sum(lengths)
    bounds = np.round(np.cumsum((0.0, *shares)) * total).astype(np.int64)
    visited, first = list[npt.NDArray[np.int64]](), 0
    for number, (length, count) in enumerate(zip(lengths, np.diff(bounds), strict=True)):
        rounds, places = np.divmod(np.arange(epoch * count, (epoch + 1) * count), length)
        for round_ in np.unique(rounds):
            # five numbers: never the seed of a sample or of an epoch, which have three and four
            order = np.random.default_rng([seed, stream, int(round_), length, number]).permutation(length)
            visited.append(first + order[places[rounds == round_]])
        first += length
    mixed: npt.NDArray[np.int64] = np.concatenate(visited)[epoch_order(seed, stream, epoch, total)]
    return mixed


class EvalView(FailSafe[Batch]):
    """Whole normalised pictures of a data set, with name, number, size on disk, label and mask of invalid pixels.

    An index behind the end is padding, so that all processes see equally many batches: a sample without any label.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        round_, index = divmod(index, len(self))
        sample = self.dataset[index]
        kept: Sample = {key: value for key, value in sample.items() if key in _EVALUATED}  # type: ignore[assignment]
        batch = to_model_input(kept)
        size = original_size(self.dataset, index) or sample["image"].shape[-2:]
        batch["size"] = torch.tensor([int(side) for side in size])
        batch["index"] = index
        if "label" in batch:
            mask = invalid_mask(self.dataset, index, (int(batch["label"].shape[-2]), int(batch["label"].shape[-1])))
            batch.update({} if mask is None else {"invalid": mask})
            if round_ > 0:
                batch["label"] = torch.full_like(batch["label"], IGNORE_INDEX)
        return batch


class EvalSampler(DistributedSampler[int]):
    """Every index once, dealt out to the processes; indices behind the end may make their numbers equal.

    Lightning's own sampler repeats samples instead, which then count twice.

    Args:
        length: Samples of the set.
        world: Number of processes.
        rank: Number of this process.
        equal: Whether all processes shall have equally many indices.
    """

    def __init__(self, length: int, world: int, rank: int, *, equal: bool = True) -> None:
        self.indices = range(rank, -(-length // world) * world if equal else length, world)
        super().__init__(self.indices, num_replicas=world, rank=rank, shuffle=False)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


class PositionSampler(DistributedSampler[int]):
    """Positions of one epoch, from `start()` on; `start` is asked when iteration begins.

    Being a DistributedSampler keeps Lightning from shuffling the positions among its processes.

    Args:
        length: Positions an epoch, for each process.
        start: First position of all processes together.
        world: Number of training processes; they take turns.
        rank: Number of this process.
    """

    def __init__(self, length: int, start: Callable[[], int], world: int = 1, rank: int = 0) -> None:
        super().__init__(range(length * world), num_replicas=world, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.length = length
        self.start = start

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        first = self.start() + self.rank
        return iter(range(first, first + self.length * self.num_replicas, self.num_replicas))


class Loader(DataLoader[Any]):
    """A DataLoader that raises the typed errors of its workers with their own words."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, DsrnssError):
                raise batch
            yield batch


def make_loader(
    dataset: FailSafe[Batch],
    batch_size: int,
    workers: int,
    *,
    sampler: Sampler[int] | None = None,
    seed: int = 0,
    for_gpu: bool = True,
) -> Loader:
    """Build a loader; with a sampler of positions it is a training loader (whole batches, workers that live on).

    Args:
        dataset: What is loaded.
        batch_size: Samples a batch.
        workers: Processes that load.
        sampler: Which samples.
        seed: Of the workers.
        for_gpu: Whether batches may go to a GPU. Where there is one they are pinned, which takes a part of its memory.
    """
    training = sampler is not None and not isinstance(sampler, EvalSampler)
    return Loader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=training,
        num_workers=workers,
        persistent_workers=training and workers > 0,
        collate_fn=collate,
        worker_init_fn=start_worker,
        pin_memory=for_gpu and torch.cuda.is_available(),
        # creating an iterator must not draw from the global generator, whose state is part of a checkpoint
        generator=torch.Generator().manual_seed(seed),
    )


def make_eval_loader(
    dataset: SegmentationDataset,
    batch_size: int,
    workers: int,
    world: int = 1,
    rank: int = 0,
    *,
    equal: bool = True,
    for_gpu: bool = True,
) -> Loader:
    """Build a loader of whole pictures that is exact over processes: no picture counts twice.

    Args:
        dataset: The pictures.
        batch_size: Pictures a batch.
        workers: Processes that load.
        world: Number of processes that share the pictures.
        rank: Number of this one.
        equal: Whether all shall get equally many, since they exchange what they count; what pads is without labels.
        for_gpu: As of `make_loader`.
    """
    sampler = EvalSampler(len(dataset), world, rank, equal=equal) if world > 1 else None
    return make_loader(EvalView(dataset), batch_size, workers, sampler=sampler, for_gpu=for_gpu)


def collate(samples: list[Batch] | DsrnssError) -> Batch | DsrnssError:
    """Stack samples into a batch: tensors along a new first axis, names as a list."""
    if isinstance(samples, DsrnssError):
        return samples
    shapes = {tuple(sample["image"].shape) for sample in samples}
    shapes |= {tuple(sample["label"].shape) for sample in samples if "label" in sample} if len(shapes) > 1 else set()
    if len(shapes) > 1:
        return DataError(
            f"Pictures of different sizes in one batch ({', '.join(sample['name'] for sample in samples)}): "
            "set eval_batch_size to 1, or give the data set a size."
        )
    batch: Batch = default_collate(samples)
    return batch
