"""`labels.yaml`: the classes of an own data set, in words, and what the method should know of them."""

import colorsys
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dsrnss.errors import ConfigError, DataError, did_you_mean
from dsrnss.labels import CoOccurrence, LabelSpace
from dsrnss.paths import expanded
from dsrnss.strict_yaml import load

LABELS_FILE = "labels.yaml"
GROUPS = ("large_static", "dynamic", "small", "tail", "feature_distance")
_KEYS = ("classes", *GROUPS, "co_occurrence")
_CLASS_KEYS = ("name", "colour", "raw")
_RULE_KEYS = ("chosen", "added")
Fail = Callable[[str], DataError]
Value = TypeVar("Value")


def read_label_space(path: str | Path) -> LabelSpace:
    """Read the classes of a data set from a YAML file.

    The file is a mapping with `classes`, a list whose order gives the train ids 0, 1, ...: names, or mappings of
    `name`, `colour` ([R, G, B], 0..255) and `raw` (the value, or values, that label files hold for it; without any,
    they hold train ids). Lists of names may follow as `large_static`, `dynamic`, `small`, `tail` and
    `feature_distance`, and rules `co_occurrence: [{chosen: [...], added: [...]}]`; `LabelSpace` says what they do.

    Raises:
        DataError: If the file is missing or something in it is wrong, naming it.
    """
    path = expanded(path)

    def fail(problem: str) -> DataError:
        return DataError(f"'{path}': {problem}")

    content = _load(path, fail)
    _check_keys(content, _KEYS, "", fail)
    rows = [_row(number, row, fail) for number, row in enumerate(_list(content.get("classes"), "classes", fail))]
    names = [row["name"] for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise fail(f"class '{name}' is named {names.count(name)} times.")
    try:
        return LabelSpace(
            names=tuple(names),
            palette=tuple(_colour(row, number, len(rows), fail) for number, row in enumerate(rows)),
            raw_ids=_raw_ids(rows, fail),
            co_occurrence=_rules(content.get("co_occurrence"), names, fail),
            **{group: _members(content.get(group), names, group, fail) for group in GROUPS},
        )
    except ConfigError as error:
        raise fail(str(error)) from error


def _load(path: Path, fail: Fail) -> dict[str, Any]:
    try:
        content, _ = load(path.read_text(encoding="utf-8"), f"'{path}'")
    except ConfigError as error:
        raise DataError(str(error)) from error
    except FileNotFoundError as error:
        raise DataError(f"The file of the classes was not found: '{path}'.") from error
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise fail("cannot be read: it is no text in UTF-8, save it as such.") from error
    if not isinstance(content, dict) or "classes" not in content:
        raise fail("expected a mapping with 'classes', a list of class names.")
    return content


def _check_keys(content: Mapping[Any, Any], known: Sequence[str], where: str, fail: Fail) -> None:
    for key in content:
        if key not in known:
            raise fail(f"{where}unknown key '{key}'.{did_you_mean(str(key), known)}")


def _list(value: Any, what: str, fail: Fail) -> list[Any]:
    if not isinstance(value, list):
        raise fail(f"'{what}' is no list: {reprlib.repr(value)}.")
    return value


def _row(number: int, row: Any, fail: Fail) -> dict[str, Any]:
    row = row if isinstance(row, dict) else {"name": row}
    _check_keys(row, _CLASS_KEYS, f"class {number}: ", fail)
    if not isinstance(row.get("name"), str) or not row["name"].strip():
        raise fail(f"class {number}: expected a name, found {reprlib.repr(row.get('name'))}.")
    return {**row, "name": row["name"].strip()}


def _colour(row: Mapping[str, Any], number: int, total: int, fail: Fail) -> tuple[int, int, int]:
    colour = row.get("colour")
    if colour is None:
        # hues all around, bright and dark in turn: neighbours differ in both
        red, green, blue = colorsys.hsv_to_rgb(number / total, 0.75, 1.0 if number % 2 else 0.7)
        return round(255 * red), round(255 * green), round(255 * blue)
    if not isinstance(colour, list) or len(colour) != 3 or not all(_is_byte(channel) for channel in colour):
        raise fail(f"class '{row['name']}': expected a colour [R, G, B] of 0..255, found {reprlib.repr(colour)}.")
    return colour[0], colour[1], colour[2]


def _raw_ids(rows: Sequence[Mapping[str, Any]], fail: Fail) -> dict[int, int]:
    raw_ids: dict[int, int] = {}
    if all(row.get("raw") is None for row in rows):
        return raw_ids
    for train_id, row in enumerate(rows):
        values = row.get("raw")
        for value in values if isinstance(values, list) else [values]:
            if value is None:
                raise fail(f"class '{row['name']}' has no raw value, but others have: give one to each.")
            if not _is_byte(value):
                raise fail(f"class '{row['name']}': raw values are whole numbers 0..255, not {reprlib.repr(value)}.")
            if value in raw_ids:
                other = rows[raw_ids[value]]["name"]
                raise fail(f"the raw value {value} is given twice: to '{other}' and to '{row['name']}'.")
            raw_ids[value] = train_id
    return raw_ids


def _members(value: Any, names: Sequence[str], what: str, fail: Fail) -> tuple[int, ...]:
    if value is None:
        return ()
    members = set()
    for name in _list(value, what, fail):
        if name not in names:
            raise fail(f"'{what}' names an unknown class '{name}'.{did_you_mean(str(name), names)}")
        members.add(names.index(name))
    return tuple(sorted(members))


def _rules(value: Any, names: Sequence[str], fail: Fail) -> tuple[CoOccurrence, ...]:
    rules = []
    for number, rule in enumerate([] if value is None else _list(value, "co_occurrence", fail), 1):
        where = f"co_occurrence, rule {number}: "
        if not isinstance(rule, dict):
            raise fail(f"{where}expected {{chosen: [...], added: [...]}}, found {reprlib.repr(rule)}.")
        _check_keys(rule, _RULE_KEYS, where, fail)
        chosen, added = (_members(rule.get(key), names, f"{where}{key}", fail) for key in _RULE_KEYS)
        if not chosen or not added:
            raise fail(f"{where}'chosen' and 'added' must each name a class.")
        rules.append(CoOccurrence(chosen, added))
    return tuple(rules)


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255
