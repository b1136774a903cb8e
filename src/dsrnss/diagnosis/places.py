"""Where things lie: disks, caches, data sets."""

import ast
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dsrnss.console import counted
from dsrnss.data.location import folders_in
from dsrnss.data.sets import HOMES
from dsrnss.diagnosis.findings import Finding, State, gigabytes
from dsrnss.paths import cache_folder, expanded

_LEAST_FREE, _LEAST_SHARED = 5e9, 5e8
_COUNTED = 50_000
"""Files of a cache whose sizes are added up; counting more would take long."""
_FACTS = ("key", "folder", "url")


def disks() -> list[Finding]:
    """The free space, and whether one can write, where the program writes."""
    shared = Path("/dev/shm")
    places = {"current folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    found = [_disk(name, path, _LEAST_FREE, "choose an --out on another disk") for name, path in places.items()]
    if shared.is_dir():
        advice = "loaders pass pictures through it: data.workers: 0, or a container with --shm-size=2g"
        found.append(_disk("shared memory", shared, _LEAST_SHARED, advice))
    return found


def _disk(name: str, path: Path, least: float, advice: str) -> Finding:
    there = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return Finding(name, f"{path}, cannot be written to", "note", advice)
    return Finding(name, f"{path}, {gigabytes(free)} free", *(("fine", "") if free >= least else ("note", advice)))


def caches() -> list[Finding]:
    """The cache of the package, and of the Hugging Face hub, with their sizes."""
    own = cache_folder()
    place = _disk("cache", own, _LEAST_FREE, "DSRNSS_CACHE names another folder")
    found = [place]
    for path in folders_in(own):
        found.append(Finding(f"cache/{path.name}", _size(path)))
    hub = expanded(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    return [*found, Finding("Hugging Face", f"{hub}, {_size(hub)}" if hub.is_dir() else "nothing")]


def _size(folder: Path) -> str:
    total, count = 0, 0
    for path, _, names in os.walk(folder):
        for name in names:
            total += _bytes(Path(path) / name)
            count += 1
        if count >= _COUNTED:
            return f"more than {gigabytes(total)}"
    return f"{gigabytes(total)} in {counted(count, 'file')}"


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # somebody has just removed it
        return 0


def data_sets() -> list[Finding]:
    """What lies below $DATA_DIR."""
    given = os.environ.get("DATA_DIR")
    if not given:
        return [
            Finding(
                "DATA_DIR", "not set", "note", "the folder that holds the data sets; SynthNight and your own need none"
            )
        ]
    root = expanded(given)
    if not root.is_dir():
        return [Finding("DATA_DIR", f"{root} is no folder", "missing", "export DATA_DIR=/path/to/data")]
    found = [Finding("DATA_DIR", f"{root}; `dsrnss data check SET` reads every file of a set")]
    for facts in set_facts():
        place = root / facts["folder"]
        there = bool(folders_in(place))
        found.append(Finding(facts["key"], f"{place}{'' if there else ' is not there'}", *_seen(there, facts["url"])))
    return found


def _seen(there: bool, url: str) -> tuple[State, str]:
    return ("fine", "") if there else ("note", f"from {url}")


def set_facts() -> Iterator[dict[str, Any]]:
    """`key`, `folder` and `url` of each known set, read from its source: its class needs torch."""
    for name, home in HOMES.items():
        spec = find_spec(home)
        if spec is None or spec.origin is None:
            continue
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        kind = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        stated = {
            node.targets[0].id: node.value
            for node in kind.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        if "key" in stated:
            yield {fact: ast.literal_eval(stated[fact]) for fact in _FACTS}
