"""YAML as a user means it: each key once, plain values only, and nothing that unfolds into more than was written."""

from collections.abc import Iterator
from typing import Any

import yaml

from dsrnss.errors import ConfigError

LARGEST = 2**20
"""Characters; a labels file of 254 classes has 30,000."""
DEEPEST = 50
MOST_VALUES = 50_000
"""Values, those repeated by aliases counted each time."""

_MERGE = "tag:yaml.org,2002:merge"
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}


def load(text: str, name: str) -> tuple[Any, dict[str, int]]:
    """Read one YAML document.

    Args:
        text: The document.
        name: What messages call it, with quotation marks if there shall be some.

    Returns:
        Its content, None if it is empty, and the line of each key, counted from 1, by its dotted path; items of lists
        count from 0 (`classes.2.name`).

    Raises:
        ConfigError: If it is no YAML, a key is given twice, a value is of a kind that only a program writes, or it is
            absurdly large or deep; naming the line.
    """
    if len(text) > LARGEST:
        raise ConfigError(f"{name}: {len(text) / 2**20:.1f} million characters are no file of settings.")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            lines = _Visit(loader).lines(node)
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: not valid YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError: numbers of thousands of digits
        raise ConfigError(f"{name}: not valid YAML: {str(error).splitlines()[0]}.") from error


class _Loader(yaml.SafeLoader):
    """A SafeLoader that stops at absurd depths, and takes dates for the words that they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own attribute)
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _mistake(f"nested more than {DEEPEST} deep", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Visit:
    """Looks at every value as often as aliases repeat it, and at every key."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._values = 0
        self._around: list[yaml.Node] = []

    def lines(self, node: yaml.Node) -> dict[str, int]:
        """The line of each key and item below a node, by its dotted path."""
        found: dict[str, int] = {}
        for path, mark in self._visit(node, ""):
            found.setdefault(path, mark.line + 1)
        return found

    def _visit(self, node: yaml.Node, prefix: str) -> Iterator[tuple[str, yaml.Mark]]:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _mistake(f"its aliases unfold into more than {MOST_VALUES:,} values", node.start_mark)
        if node in self._around:
            raise _mistake("an alias stands inside of what it repeats", node.start_mark)
        if node.tag not in _PLAIN:
            raise _mistake(f"the tag '{node.tag}': only plain values are taken", node.start_mark)
        self._around.append(node)
        if isinstance(node, yaml.MappingNode):
            yield from self._mapping(node, prefix)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield f"{prefix}{index}", item.start_mark
                yield from self._visit(item, f"{prefix}{index}.")
        self._around.pop()

    def _mapping(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, yaml.Mark]]:
        first: dict[Any, yaml.Mark] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _PLAIN:
                raise _mistake("a key is a word or a number", key.start_mark)
            name = key.value if key.tag == _MERGE else self._loader.construct_object(key)
            if name in first:
                lines = f"in line {first[name].line + 1} and in line {key.start_mark.line + 1}"
                raise _mistake(f"'{key.value}' is given twice, {lines}: keep one of them", key.start_mark)
            first[name] = key.start_mark
            if key.tag == _MERGE:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            yield f"{prefix}{key.value}", key.start_mark
            yield from self._visit(value, f"{prefix}{key.value}.")
        for value in merged:  # what it brings along counts only where the mapping itself has no such key
            yield from self._visit(value, prefix)


def _mistake(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, mark)
