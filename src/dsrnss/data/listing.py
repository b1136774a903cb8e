"""What data sets in files need to list their files: pictures, the labels of the same names, lists of names."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from dsrnss.data.missing import note_missing
from dsrnss.errors import DataError
from dsrnss.paths import expanded


def listing(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder by pattern, sorted by their path; hidden ones (half-written, or of macOS) left out."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def find_label(stem: Path, known: Container[Path]) -> tuple[Path, bool] | None:
    """The label `<stem>_labelTrainIds.png`, else `<stem>_labelIds.png`, and whether it holds raw ids.

    Args:
        stem: Path without the kind of label and the ending.
        known: Files that exist.
    """
    for kind, raw in (("labelTrainIds", False), ("labelIds", True)):
        path = stem.with_name(f"{stem.name}_{kind}.png")
        if path in known:
            return path, raw
    return None


def find_labels(
    stems: Mapping[Path, Path], known: Container[Path], advice: str, expected: str = "labelTrainIds"
) -> dict[Path, tuple[Path, bool]]:
    """The labels of pictures, by `find_label`.

    Args:
        stems: Picture -> path of its label without the kind of label and the ending.
        known: Files that exist.
        advice: What to do if some are missing.
        expected: The kind of label that the message names.

    Raises:
        DataError: If some are missing.
    """
    labels, missing = {}, []
    for image, stem in stems.items():
        label = find_label(stem, known)
        if label is None:
            missing.append(stem.with_name(f"{stem.name}_{expected}.png"))
        else:
            labels[image] = label
    require(missing, len(stems), "labels", advice)
    return labels


def is_file(path: Path) -> bool:
    """Whether there is such a file; no file has a name that is too long for the disk or its encoding."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def given_file(root: Path, path: str | Path, option: str) -> Path:
    """A file that an option names, as it is or below the root.

    Raises:
        DataError: If there is no such file.
    """
    given = expanded(path)
    found = next((place for place in (given, root / given) if is_file(place)), None)
    if found is None:
        raise DataError(f"The {option} '{given}' was found neither as it is nor below '{root}'.")
    return found


def read_text(path: Path, what: str) -> str:
    """A text file in UTF-8, whatever the locale.

    Args:
        path: The file.
        what: What it holds, for the message.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"Cannot read the {what} '{path}': it is no text in UTF-8, save it as such.") from error
    except OSError as error:
        raise DataError(f"Cannot read the {what} '{path}': {error.strerror}.") from error


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file; arguments and errors as of `read_text`."""
    return read_text(path, what).splitlines()


def require(missing: Sequence[object], total: int, what: str, advice: str) -> None:
    """Raise if anything is missing.

    Raises:
        DataError: With the number and the first few of what is missing.
    """
    if missing and not note_missing(missing, what, advice):
        shown = "\n".join(f"  {item}" for item in missing[:5])
        more = f"\n  ... and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(f"{len(missing)} of {total} {what} are missing:\n{shown}{more}\n{advice}")
