"""What `dsrnss data check`, `stats` and `show` are pointed at: an experiment, a known data set, or a folder."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.data.location import folders_in, has_layout
from dsrnss.data.sets import known_sets
from dsrnss.data.zipped import with_archives
from dsrnss.errors import DataError, DatasetNotFoundError, UsageError, did_you_mean
from dsrnss.experiment import files as experiments
from dsrnss.paths import expanded

if TYPE_CHECKING:
    from dsrnss.data.base import SegmentationDataset
    from dsrnss.data.datamodule import AdaptationDataModule
    from dsrnss.data.files import FileDataset


@dataclass(frozen=True)
class Target:
    """Data sets to work on.

    Attributes:
        title: What the user pointed at.
        sets: Name -> data set.
        groups: Name -> group, see `check_sets`.
        absent: Parts of a known layout that are not there, which is no mistake.
    """

    title: str
    sets: dict[str, "SegmentationDataset"]
    groups: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


def resolve(word: str, *later: str, references: bool = False) -> Target:
    """Find what a word means: an experiment file or packaged experiment, a data set below $DATA_DIR, or a folder.

    Args:
        word: What the user wrote.
        later: Further experiment files, of which later ones win, as behind `--config` of `fit`.
        references: Whether the splits of known sets carry day references wherever these were downloaded.

    Raises:
        UsageError: If it is none of these.
        DatasetNotFoundError: If a known set is not below $DATA_DIR, or a folder holds none.
    """
    if is_experiment(word, *later):
        return experiment_target(*(experiments.resolve(str(expanded(name))) for name in (word, *later)))
    path = expanded(word)
    if path.is_dir() or with_archives(path).is_dir():
        return folder_target(path, references=references)
    known = known_sets()
    name = word.lower().replace("_", "").replace("-", "").replace("/", "")
    if name in known:
        return _known(word, {known[name]: None}, references=references)
    raise UsageError(
        f"'{word}' is neither a folder, nor an experiment file, nor a known data set.{did_you_mean(word, known)}"
    )


def is_experiment(word: str, *later: str) -> bool:
    """Whether words name experiment files; several always do."""
    packaged = {name.removesuffix(".yaml") for name in experiments.packaged_names()}
    return bool(later) or (not expanded(word).is_dir() and (word.endswith((".yaml", ".yml")) or word in packaged))


def experiment_target(*paths: Path) -> Target:
    """All data sets of an experiment.

    Args:
        paths: Its files, in their order.

    Raises:
        UsageError: If the files have no usable key `data`.
    """
    title = " ".join(map(experiments.short_name, paths))
    module = built_data(title, merged_content(*paths))
    training = {"source": module.source, **({} if module.target is None else {"target": module.target})}
    evaluated = {f"{stage}/{name}": one for stage in ("val", "test", "predict") for name, one in _stage(module, stage)}
    groups = {**dict.fromkeys(training, "training"), **{name: f"test {s.split}" for name, s in evaluated.items()}}
    return Target(title, {**training, **evaluated}, groups)


def built_data(title: str, content: dict[str, Any]) -> "AdaptationDataModule":
    """The data sets of an experiment, from what its files say.

    Args:
        title: Its name, for messages.
        content: As of `merged_content`.

    Raises:
        UsageError: If there is no usable key `data`.
    """
    from jsonargparse import ArgumentParser

    from dsrnss.data.datamodule import AdaptationDataModule

    if not content.get("data"):
        raise UsageError(f"{title}: an experiment names its data sets under the key 'data'; this file has none.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AdaptationDataModule, "data")
    try:
        module: AdaptationDataModule = parser.instantiate_classes(parser.parse_object({"data": content["data"]})).data
    except Exception as error:
        raise UsageError(f"{title}: the data sets cannot be built: {str(error).strip().splitlines()[-1]}") from error
    return module


def merged_content(*paths: Path) -> dict[str, Any]:
    """What experiment files say together; later ones win.

    Raises:
        UsageError: If one is no experiment file.
    """
    content: dict[str, Any] = {}
    for path in paths:
        content = _merged(content, experiments.read(path).content)
    return content


def _merged(earlier: Any, later: Any) -> Any:
    """Two values of a key: mappings are joined, unless they describe objects of different classes."""
    if not isinstance(earlier, dict) or not isinstance(later, dict):
        return later
    if earlier.get("class_path") != later.get("class_path", earlier.get("class_path")):
        return later
    return {**earlier, **{key: _merged(earlier.get(key), value) for key, value in later.items()}}


def _stage(module: Any, stage: str) -> list[tuple[str, "SegmentationDataset"]]:
    return list(getattr(module, stage).items())


def folder_target(path: Path, *, references: bool = False) -> Target:
    """The data sets in a folder: a known layout, several of them side by side (a $DATA_DIR), or own pictures.

    Args:
        path: The folder, or an archive; what is in archives that lie in a folder counts, too.
        references: As of `resolve`.

    Raises:
        DatasetNotFoundError: If there is none.
    """
    kind = _layout(path)
    places = {kind: path} if kind else {}
    if not places and (path / "images").is_dir():
        return _own_pictures(path)
    if not places:
        beside = [(kind, child) for child in _below(path) if (kind := _layout_of_child(child))]
        places = dict(sorted(dict(reversed(beside)).items(), key=lambda item: item[0].__name__))
    if not places:
        whole = with_archives(path)
        places = {kind: path for kind in known_sets().values() if has_layout(whole, kind.signs)}
        if not places and (whole / "images").is_dir():
            return _own_pictures(whole)
    if not places:
        raise DatasetNotFoundError(
            f"'{path}' holds no data set: neither the folders of a known one ({', '.join(known_sets())}), nor 'images' "
            "with own pictures."
        )
    return _known(str(path), dict(places), references=references)


def _below(path: Path) -> list[Path]:
    """Folders in a folder, then those in them: a set may have been unpacked one level too deep."""
    children = folders_in(path)
    return [*children, *(deeper for child in children for deeper in folders_in(child))]


def _layout(path: Path) -> "type[FileDataset] | None":
    """The data set whose layout a folder has."""
    return next((kind for kind in known_sets().values() if has_layout(path, kind.signs)), None)


def _layout_of_child(path: Path) -> "type[FileDataset] | None":
    """The same of a folder that nobody has named, or else of what lies in its archives, as far as these are whole."""
    try:
        return _layout(path) or _layout(with_archives(path))
    except DataError:
        return None


def _own_pictures(path: Path) -> Target:
    from dsrnss.data import Folder

    inside = sorted(child.name for child in (path / "images").iterdir() if not child.name.startswith("."))
    split = set(inside) <= {"train", "val", "test"} and bool(inside)
    sets: dict[str, SegmentationDataset] = {
        (part or path.name): Folder(path.absolute(), split=part) for part in (inside if split else [None])
    }
    return Target(str(path), sets)


def _known(title: str, places: "dict[type[FileDataset], Path | None]", *, references: bool) -> Target:
    """All parts of known data sets that are there; the rest was perhaps not downloaded."""
    sets: dict[str, SegmentationDataset] = {}
    absent: list[str] = []
    reason: DatasetNotFoundError | None = None
    for kind, root in places.items():
        for name, dataset in kind.all_parts(root).items():
            try:
                _try_listing(dataset)
            except DatasetNotFoundError as error:
                reason = reason or error
                absent.append(name)
                continue
            except DataError:
                pass  # the check says what is wrong
            sets[name] = dataset
            if references and not _take_references(dataset):
                absent.append(f"{name}_ref")
    if not sets and reason is not None:
        raise reason
    return Target(title, sets, absent=_shortened(absent, sets))


def _take_references(dataset: "FileDataset") -> bool:
    """Have val or test carry their references; False where their folder is not there, which is no mistake."""
    folders = [] if dataset.split == "train" else dataset.reference_folders()
    dataset.references = dataset.references or any(folder.is_dir() for folder in folders)
    return dataset.references or not folders


def _shortened(absent: Sequence[str], there: Collection[str]) -> tuple[str, ...]:
    """Names of absent parts; of a condition without any part its own name."""
    conditions = {name.rpartition("/")[0] for name in there}
    groups = (name if name.rpartition("/")[0] in conditions else name.rpartition("/")[0] for name in absent)
    return tuple(dict.fromkeys(groups))


def _try_listing(dataset: "FileDataset") -> None:
    from dsrnss.data.missing import collect_missing

    with collect_missing():
        # a copy: the set itself must not remember an incomplete list
        len(copy.copy(dataset))
