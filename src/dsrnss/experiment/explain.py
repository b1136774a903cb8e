"""Turns what jsonargparse says about a wrong key or value into a short message.

jsonargparse nests its reports (`Parser key "data.source": Problem with given class_path ...: Option 'x' is not
accepted`); here the innermost cause is picked, named by its full key, and looked up in the experiment file.
"""

import argparse
import ast
import importlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentParser

from dsrnss.errors import UsageError, did_you_mean
from dsrnss.experiment.files import ExperimentFile

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "NoneType": "null",
    "tuple": "a list of values, like [512, 512]",
    "list": "a list",
    "dict": "a mapping of names",
}


@dataclass(frozen=True)
class Context:
    """What is known about the experiment.

    Args:
        keys: Every dotted key it accepts.
        files: The files it was read from.
        args: The other options of the command line.
    """

    keys: Sequence[str]
    files: Sequence[ExperimentFile] = ()
    args: Sequence[str] = ()


def explain(message: str, context: Context) -> str:
    """Rewrite one message of jsonargparse.

    Args:
        message: Its text, of one or more lines.
        context: The experiment.

    Returns:
        One or a few lines: what is wrong, where, and what is accepted.
    """
    for rule in (_unknown_option, _unknown_key, _required, _linked, _import_problem, _wrong_count, _wrong_value):
        text = rule(message, context)
        if text:
            return text
    return _plain(message)


def check_groups(context: Context) -> None:
    """See that every group of keys is a mapping in the files, which jsonargparse itself notices too late.

    Raises:
        UsageError: Naming the line and the keys of the group.
    """
    groups: dict[str, list[str]] = {}
    for key in context.keys:
        parent, _, name = key.rpartition(".")
        if name != "help":  # every class to choose has `KEY.help`, which makes KEY no mapping
            groups.setdefault(parent, []).append(name)
    for file in context.files:
        for key, line in file.lines.items():
            if key in groups and not isinstance(file.value(key), dict):
                names = ", ".join(groups[key][:8]) + (", ..." if len(groups[key]) > 8 else "")
                raise UsageError(f"{file.path}, line {line}: '{key}' is not one value but a mapping of keys: {names}")


def check_nulls(parser: argparse.ArgumentParser, context: Context) -> None:
    """See that nothing is null which cannot be: the parser takes it for "not given".

    Raises:
        UsageError: Naming the line.
    """
    kinds = {action.dest: getattr(action, "_typehint", None) for action in parser._actions}
    for file in context.files:
        for key in file.nulls():
            kind = kinds.get(key)
            if kind is not None and type(None) not in get_args(kind) and kind is not Any:
                name = _TYPES.get(getattr(get_origin(kind) or kind, "__name__", ""), "a value")
                raise UsageError(f"{file.path}, line {file.lines[key]}: {key}: expected {name}, not null.")


def _unknown_option(message: str, context: Context) -> str:
    found = re.search(r"unrecognized arguments: (\S+)", message)
    if not found:
        return ""
    word = found[1].partition("=")[0]
    if not word.startswith("--"):
        guess = f" Did you mean --config {word}?" if word.endswith((".yaml", ".yml")) else ""
        return f"Unexpected argument '{word}'.{guess}"
    return f"Unknown option '{word}'.{_suggest(word.removeprefix('--'), context.keys, '--')}"


def _unknown_key(message: str, context: Context) -> str:
    inside = re.findall(r"Problem with given class_path '([^']+)'", message)
    group = re.search(r"Group '([^']+)' does not accept option '([^']+)'", message)
    single = re.search(r"Option '([^']+)' is not accepted", message)
    if not group and not single:
        return ""
    word = f"{group[1]}.{group[2]}" if group else single[1] if single else ""
    if not inside:
        return f"{_where(word, context)}Unknown key '{word}'.{_suggest(word, context.keys)}"
    key = ".".join(_parser_keys(message))
    accepted = _parameters(inside[-1])
    named = "class_path" if word.partition(".")[0] not in ("class_path", "init_args") else ""
    if word.partition(".")[0] in ("init_arg", "init_arsg", "args", "init", "kwargs", "params"):
        accepted = ["class_path", "init_args"]
        word = word.partition(".")[0]
    of = f" of {inside[-1]}" if named and inside else ""
    return f"{_where(f'{key}.{word}', context)}Unknown key '{word}'{of} ({key}).{did_you_mean(word, accepted)}"


def _required(message: str, context: Context) -> str:
    found = re.search(r"following arguments are required: (.+)", message)
    return f"Missing: {found[1]}. Give an experiment file with --config, or each as --KEY." if found else ""


def _linked(message: str, context: Context) -> str:
    found = re.search(r'Linked "([^"]+)" must be given via "([^"]+)"', message)
    if not found:
        return ""
    return f"{_where(found[1], context)}'{found[1]}' follows '{found[2]}': set that instead."


def _import_problem(message: str, context: Context) -> str:
    key = ".".join(_parser_keys(message))
    where = _where(f"{key}.class_path", context) or _where(key, context)
    attribute = re.search(r"module '([^']+)' has no attribute '([^']+)'", message)
    if attribute:
        guess = did_you_mean(attribute[2], _public_classes(attribute[1]), show_all=False)
        return f"{where}{key}: there is no class '{attribute[1]}.{attribute[2]}'.{guess}"
    missing = re.search(r"No module named '([^']+)'", message)
    if missing:
        return f"{where}{key}: there is no module '{missing[1]}' to take a class from."
    subclass = re.search(r"Import path (\S+) does not correspond to a subclass of (\w+)", message)
    if subclass:
        return f"{where}{key}: '{subclass[1]}' is not a {subclass[2]}."
    short = re.search(r"Expected a dot import path string: (\S+)", message)
    if short:
        return f"{where}{key}: expected a class with its module, like dsrnss.data.SynthNight, not '{short[1]}'."
    file = re.search(r"Unable to load config ['\"]([^'\"]*)['\"]", message)
    if file:
        return f"{where}{key}: expected a mapping of keys or a YAML file of them, not '{file[1]}'."
    return ""


def _wrong_count(message: str, context: Context) -> str:
    found = re.search(r"Expected a tuple with (\d+) elements\. Got value: (.*)", message)
    key = ".".join(_parser_keys(message))
    return f"{_where(key, context)}{key}: expected {found[1]} values, not {found[2]}." if found else ""


def _wrong_value(message: str, context: Context) -> str:
    keys = _parser_keys(message)
    expected = re.findall(r"(?:Expected an?|- Expected an?) (<class '[^']+'>|typing\.Literal\[[^\]]*\])", message)
    given = re.findall(r"(?:Got value|Given value): (.*)", message)
    union = re.search(r"Subtypes: \[(.*)\]", message)
    if not keys or not (expected or union):
        return ""
    key = ".".join(keys)
    kinds = _kinds(expected) or [f"one of {union[1]}" if union else ""]
    if len(kinds) > 1 and "Problem with given class_path" in message and "null" in kinds:
        kinds.remove("null")
    value = f", not '{given[0]}'" if given else ""
    return f"{_where(key, context)}{key}: expected {' or '.join(kinds)}{value}."


def _parser_keys(message: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))


def _kinds(types: Iterable[str]) -> list[str]:
    """Types in words, each once; the accepted words of all `Literal`s together."""
    words: list[str] = []
    kinds: list[str] = []
    for text in types:
        if text.startswith("typing.Literal"):
            words += [str(value) for value in ast.literal_eval(text.removeprefix("typing.Literal"))]
        else:
            name = text.removeprefix("<class '").removesuffix("'>")
            kinds.append(_TYPES.get(name, f"a {name.rpartition('.')[2]} (class_path and init_args)"))
    if words:
        kinds.insert(0, "one of " + ", ".join(f"'{word}'" for word in dict.fromkeys(words)))
    return list(dict.fromkeys(kinds))


def _suggest(word: str, keys: Iterable[str], dashes: str = "") -> str:
    """A guess among all keys; else the keys beside the wrong one, for there are hundreds in all."""
    known = sorted(set(keys))
    guess = did_you_mean(word, known, show_all=False)
    last = word.rpartition(".")[2]
    if not guess:
        ends = [key for key in known if key.rpartition(".")[2] == last]
        guess = f" Did you mean '{ends[0]}'?" if ends else ""
    if guess:
        return guess.replace("mean '", f"mean '{dashes}")
    parent = word.rpartition(".")[0]
    beside = [key for key in known if key.rpartition(".")[0] == parent]
    return (
        f" Accepted there: {', '.join(dashes + key for key in beside)}." if beside else " --help-all lists every key."
    )


def _where(key: str, context: Context) -> str:
    """`FILE, line N: ` of a key, or of the same key inside `init_args`; empty if it is from the command line."""
    plain = key.replace(".init_args.", ".").removesuffix(".class_path")
    options = [word.partition("=")[0][2:].replace(".init_args.", ".") for word in context.args if word[:2] == "--"]
    if any(option == plain or option.startswith(f"{plain}.") for option in options):
        return ""
    plain = key.replace(".init_args.", ".")
    for file in reversed(context.files):
        for name, line in file.lines.items():
            if name == key or name.replace(".init_args.", ".") == plain:
                return f"{file.path}, line {line}: "
    # below a dictionary of data sets the middle of the key is the user's own word
    head, _, tail = plain.rpartition(".")
    for file in reversed(context.files):
        lines = [line for name, line in file.lines.items() if name.startswith(head) and name.endswith(f".{tail}")]
        if head and len(lines) == 1:
            return f"{file.path}, line {lines[0]}: "
    return ""


def _parameters(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
        # follows **kwargs to the parent class, as the parser of the experiment does
        names: list[str] = ArgumentParser().add_class_arguments(found)
        return names
    except (ImportError, AttributeError, ValueError, TypeError):
        return []


def _public_classes(module: str) -> list[str]:
    names = vars(importlib.import_module(module))
    return [name for name in names if isinstance(names[name], type) and not name.startswith("_")]


def _plain(message: str) -> str:
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    return " ".join(lines[:6])
