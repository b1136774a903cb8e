"""The FAQ quotes what the program says: each message is one that a string of the source makes."""

import ast
import re
from functools import cache

import pytest
from pages import DOCS, ROOT, blocks

MESSAGES = [block.text.strip() for block in blocks(DOCS / "faq.md", "text")]
_PLACE = re.compile(r"^\S+\.yaml, line \d+: (not valid YAML: )?")


@cache
def _said() -> list[re.Pattern[str]]:
    """All strings of the source that may be a message, with holes for what is put in."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [str(part.value) if isinstance(part, ast.Constant) else "" for part in parts]
            # holes alone would match anything
            if max(map(len, texts)) >= 10 or len(texts[0]) >= 5:
                found.append(re.compile("".join(re.escape(text) or ".*" for text in texts), re.DOTALL))
    return found


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:40])
def test_the_program_says_so(message: str) -> None:
    message = _PLACE.sub("", message)
    # a first line may be told alone, and a full stop be added
    assert any(pattern.fullmatch(text) for pattern in _said() for text in (message, f"{message}\n", message[:-1]))
