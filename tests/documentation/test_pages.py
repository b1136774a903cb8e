"""Pages: their links have an end, they stand in the navigation, and the commands that their text names exist."""

import re
from pathlib import Path

import pytest
from pages import DOCS, PAGES, ROOT, name, prose

from dsrnss.cli import build_parser
from dsrnss.commands import experiment
from dsrnss.experiment import files as experiments

_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_text_exist(page: Path) -> None:
    """Inline code: `dsrnss segment` is a command, and so is what `--option` is said of it."""
    for text in re.findall(r"`(dsrnss [^`]+)`", prose(page)):
        words = text.split()[1:]
        for command in words[0].split("|"):
            said = _help(command, words[1:])
            for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
                known = command in experiment.COMMANDS or option in said or option in ("--debug", "--help-all")
                assert known, f"{name(page)}: `{text}`: no option {option}"


def _help(command: str, words: list[str]) -> str:
    parser = build_parser()
    while True:
        group = next((action for action in parser._actions if hasattr(action, "add_parser")), None)
        if group is None or command.startswith("-") or command.isupper():
            return parser.format_help()
        assert command in group.choices, f"there is no command '{command}'"
        parser = group.choices[command]
        command, words = (words[0], words[1:]) if words else ("-", [])
        command = command.strip(",;").split("|")[0]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(prose(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: no '{path}'"
        assert not page.is_relative_to(DOCS) or target.is_relative_to(DOCS), f"{name(page)}: the site has no '{path}'"
        if anchor:
            titles = re.findall(r"^(?:#+|:::) (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [*titles, *map(_anchor, titles)], f"{name(page)}: '{path}' has no '#{anchor}'"


def _anchor(title: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip())


def test_every_page_stands_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [name(page) for page in PAGES if page.is_relative_to(DOCS) and f": {page.relative_to(DOCS)}" not in text]
    assert not missing, "give each a line in the nav of mkdocs.yml"


def test_packaged_experiments_that_are_named_exist() -> None:
    names = experiments.packaged_names()
    for page in PAGES:
        for word in re.findall(r"`((?:synthnight|baselines|overlays|cityscapes_\w+)/[\w.]+\.yaml)`", prose(page)):
            assert word in names, f"{name(page)}: {word}"
