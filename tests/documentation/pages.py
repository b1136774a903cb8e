"""What stands in README and docs: blocks of code, the command lines in them, and links.

A block that cannot be run here has a comment before it that says why, `<!-- not run: needs a GPU -->`; its options are
checked all the same.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SHELL = ("bash", "sh", "console")
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.*?) -->\n\n?)?^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
_OUTPUT, _VARIABLE = re.compile(r"\$\([^)]*\)"), re.compile(r"\$[a-z]\w*")
"""What a shell puts in: the output of a command, a variable of a loop."""


class Block(NamedTuple):
    """A block of code.

    Attributes:
        page: The file it stands in.
        line: Of its fence, counted from 1.
        language: Behind the fence.
        text: Its content.
        why: Why it is not run; empty: it is.
    """

    page: Path
    line: int
    language: str
    text: str
    why: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


class Command(NamedTuple):
    """A command line: variables set in front of it, and its words."""

    variables: dict[str, str]
    words: list[str]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page, of some languages or of all."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        inside = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(page, line, match["language"].strip(), inside, match["why"] or ""))
    return [block for block in found if not languages or block.language in languages]


def commands(text: str) -> Iterator[Command]:
    """The command lines of a block for a shell, without comments; `a && b` are two."""
    text = _VARIABLE.sub("0", _OUTPUT.sub("FILE", text.replace("\\\n", " ")))
    for line in text.splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        for word in [*lexer, "&&"]:
            if word not in ("&&", ";", "|"):
                words.append(word)
            elif words:
                number = next((i for i, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word)), len(words))
                yield Command(dict(word.split("=", 1) for word in words[:number]), words[number:])
                words = []


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
