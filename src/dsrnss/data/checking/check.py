"""`dsrnss data check`: reads every file of some data sets and says all that is wrong with them."""

import copy
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import SegmentationDataset, Size
from dsrnss.data.checking.classes import LabelledSet, check_classes
from dsrnss.data.checking.one_file import Job, Seen, check_job
from dsrnss.data.checking.pairs import labels_without_mask, labels_without_picture
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.missing import Missing, collect_missing
from dsrnss.data.originals import INVALID_ENDING, invalid_file, leaves
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.errors import DsrnssError
from dsrnss.labels import IGNORE_INDEX, LabelSpace

KINDS: dict[str, str] = {
    "unusable": "the set cannot be listed at all",
    "missing-label": "a picture without its label",
    "missing-picture": "a label without its picture, or a listed picture that is not there",
    "missing-reference": "a picture without its day reference",
    "unreadable": "a file that is empty, cut short, damaged or no picture",
    "size-mismatch": "picture and label of different sizes",
    "no-label-map": "a label that is not 8-bit ids in one channel",
    "outside-values": "label values that are no class",
    "mask": "a mask of invalid pixels that is missing while others are there, or no mask",
    "raw-ids": "raw label ids where train ids are expected",
    "coding": "labels of another coding than the classes",
    "absent-class": "a class of labels.yaml that no label shows",
    "all-ignored": "a label without a single pixel of a class",
    "one-class": "a label of one class all over",
    "one-colour": "a picture of one colour all over",
    "duplicate": "the same pixels in two splits",
}
"""Kind of problem -> what it means."""
HARMLESS = frozenset(
    {"missing-picture", "missing-reference", "absent-class", "all-ignored", "one-class", "one-colour", "duplicate"}
)
"""Kinds that a training can live with."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: A key of `KINDS`.
        set: Name of the data set.
        file: The file, or the set's class where it is about no single file.
        message: What is wrong, a sentence.
    """

    kind: str
    set: str
    file: str
    message: str


@dataclass
class SetSummary:
    """What was found in a set, good or bad.

    Attributes:
        name: Its name in the run.
        dataset: Its class.
        split: Part of it.
        pictures: Number of pictures.
        labels: Number of labels read.
        references: Number of references.
        sizes: (height, width) -> number of pictures, upright.
        turned: Number of pictures that EXIF turns.
        counts: (num_classes + 1,) pixels of each class, the ignored ones last.
        classes: Names of the classes.
        generated: Whether it has no files.
    """

    name: str
    dataset: str
    split: str
    pictures: int = 0
    labels: int = 0
    references: int = 0
    sizes: Counter[Size] = field(default_factory=Counter)
    turned: int = 0
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    classes: tuple[str, ...] = ()
    generated: bool = False


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        sets: The sets in their order.
        problems: All that is wrong.
        files: Number of samples read.
        seconds: How long it took.
        remarks: What may well be as it should be, sentences.
    """

    sets: tuple[SetSummary, ...]
    problems: tuple[Problem, ...]
    files: int
    seconds: float
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Listed:
    """A set in files with what could be listed of it."""

    summary: SetSummary
    group: str
    entries: Sequence[Entry]
    space: LabelSpace
    official: bool


def check_sets(
    sets: Mapping[str, SegmentationDataset],
    groups: Mapping[str, str] | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Read all files of some data sets.

    Args:
        sets: Name in the run -> data set; files that several sets share are read once.
        groups: Name in the run -> group; pictures of one group may repeat those of another split of it, those of
            different groups must differ. None: by split.
        workers: Processes; None: one a core.
        progress: Called with (samples read, samples in all).
    """
    start = time.perf_counter()
    problems: list[Problem] = []
    summaries, listed = [], []
    for name, part, dataset in _leaves(sets):
        summary, entries = _list(part, dataset, problems)
        summaries.append(summary)
        if entries is not None:
            group = (groups or {}).get(name, dataset.split)
            official = bool(getattr(dataset, "key", ""))
            listed.append(_Listed(summary, group, entries, dataset.label_space, official))
    spaces = tuple(one.space for one in listed)
    jobs = [[_job(entry, one.space, spaces) for entry in one.entries] for one in listed]
    # each once, reported for the first set that has it
    names = {job: one.summary.name for one, own in reversed([*zip(listed, jobs, strict=True)]) for job in own}
    once = [*dict.fromkeys(job for own in jobs for job in own)]
    results = dict(zip(once, parallel_map(check_job, spaces, once, workers=workers, progress=progress), strict=True))
    for job, result in results.items():
        problems += [Problem(kind, names[job], str(path), message) for kind, path, message in result.findings]
    seen = [[results[job] for job in own] for own in jobs]
    findings, remarks = check_classes(_summarise(listed, seen))
    problems += [Problem(*finding) for finding in findings]
    problems += _duplicates(listed, seen)
    return CheckReport(tuple(summaries), tuple(_once(problems)), len(once), time.perf_counter() - start, tuple(remarks))


def _leaves(sets: Mapping[str, SegmentationDataset]) -> Iterator[tuple[str, str, SegmentationDataset]]:
    """Name in the run, name in messages and set; one that joins several gives each of them, as `source/1`."""
    for name, dataset in sets.items():
        inner = leaves(dataset)
        for number, leaf in enumerate(inner, 1):
            yield name, name if len(inner) == 1 else f"{name}/{number}", leaf


def _list(
    name: str, dataset: SegmentationDataset, problems: list[Problem]
) -> tuple[SetSummary, Sequence[Entry] | None]:
    """List a set, however incomplete; entries are None for one without files or that cannot be listed."""
    summary = SetSummary(name, type(dataset).__name__, dataset.split)
    if not isinstance(dataset, FileDataset):
        summary.pictures, summary.generated = len(dataset), True
        return summary, None
    try:
        with collect_missing() as missing:
            # a copy: the set itself must not remember an incomplete list
            entries = copy.copy(dataset).entries
            summary.classes = dataset.label_space.names
    except DsrnssError as error:
        problems.append(Problem("unusable", name, summary.dataset, str(error)))
        return summary, None
    for what in missing:
        problems += [Problem(_missing_kind(what), name, file, f"is missing. {what.advice}") for file in what.files]
    absent = {file for what in missing for file in what.files}
    entries = [_without(entry, absent) for entry in entries]
    # a set of a chosen few need not have unpacked the other pictures
    orphans = [] if hasattr(dataset, "split_file") else labels_without_picture(entries)
    problems += [Problem("missing-picture", name, str(path), "has no picture.") for path in orphans]
    bare = labels_without_mask(entries)
    problems += [Problem("mask", name, str(path), f"has no *{INVALID_ENDING}, but other labels have.") for path in bare]
    return summary, entries


def _missing_kind(missing: Missing) -> str:
    if "label" in missing.what:
        return "missing-label"
    return "missing-reference" if "reference" in missing.what else "missing-picture"


def _without(entry: Entry, absent: set[str]) -> Entry:
    """An entry without a reference that was already said to be missing."""
    if entry.reference is None or str(entry.reference) not in absent:
        return entry
    return Entry(entry.name, entry.image, entry.label, entry.raw_label)


def _job(entry: Entry, space: LabelSpace, spaces: Sequence[LabelSpace]) -> Job:
    number = next(index for index, other in enumerate(spaces) if other is space or other == space)
    mask = None if entry.label is None else invalid_file(entry.label)
    return Job(entry.image, entry.label, entry.raw_label, entry.reference, mask, number)


def _summarise(listed: Sequence[_Listed], found: Sequence[Sequence[Seen]]) -> list[LabelledSet]:
    """Fill in the summaries by what was seen in each set's samples; returns what the labels hold, of labelled sets."""
    labelled = []
    for one, own in zip(listed, found, strict=True):
        summary, space = one.summary, one.space
        values = np.zeros(256, np.int64)
        for entry, seen in zip(one.entries, own, strict=True):
            summary.pictures += 1
            summary.references += entry.reference is not None
            summary.turned += seen.turned
            if seen.size is not None:
                summary.sizes[seen.size] += 1
            if seen.counts is not None:
                summary.labels += 1
                values[[*seen.counts]] += [*seen.counts.values()]
        summary.counts = np.append(values[: space.num_classes], values[IGNORE_INDEX])
        if summary.labels:
            raw = any(entry.raw_label for entry in one.entries)
            labelled.append(LabelledSet(summary.name, summary.dataset, one.official, space, values, raw))
    return labelled


def _duplicates(listed: Sequence[_Listed], found: Sequence[Sequence[Seen]]) -> list[Problem]:
    """Pictures of equal pixels but different files in two groups."""
    first: dict[bytes, tuple[str, str, Entry]] = {}
    problems = []
    for one, own in zip(listed, found, strict=True):
        for entry, seen in zip(one.entries, own, strict=True):
            if seen.digest is None:
                continue
            group, name, other = first.setdefault(seen.digest, (one.group, one.summary.name, entry))
            if group != one.group and other.image != entry.image:
                message = f"has the same pixels as '{other.image}' of {name}: what is tested must not be trained on."
                problems.append(Problem("duplicate", one.summary.name, str(entry.image), message))
    return problems


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """Problems by kind, each file once: two sets of a run may share their files."""
    kept = {(problem.kind, problem.file, problem.message): problem for problem in reversed(problems)}
    order = list(KINDS)
    return sorted(reversed(kept.values()), key=lambda problem: order.index(problem.kind))
