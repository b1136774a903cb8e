"""The model card: what a saved network is, for people and for the Hugging Face hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsrnss.models.config import name_of

CARD_FILE = "README.md"

_MARK = "<!-- Written by dsrnss, and again at the next save: delete this line to keep your changes. -->"

_TEMPLATE = """\
---
library_name: dsrnss
pipeline_tag: image-segmentation
tags:
- semantic-segmentation
license: other
---

{mark}

# {title}

A semantic segmentation network written by [dsrnss](https://pypi.org/project/dsrnss/) {version}: {network}.

```python
from dsrnss import Segmenter

segmenter = Segmenter.from_pretrained("{title}")  # this folder, or user/name on the hub
segmenter("street.jpg").save("out")
```

Licence: {licence}

## Classes

{classes}

## Training

{training}
"""


def model_card(description: Mapping[str, Any], title: str) -> str:
    """The text of a model card.

    Args:
        description: What `describe` returns.
        title: Name of the model.
    """
    network, card = description["network"], description["card"]
    parts = f"backbone `{name_of(network['backbone'])}`, head `{name_of(network['head'])}`"
    parts += ", HRDA" if network.get("hrda") else ""
    rows = [f"| {key} | {_cell(value)} |" for key, value in card.items()]
    table = "\n".join(["| what | value |", "|---|---|", *rows]) if rows else "Nothing is recorded."
    classes = "\n".join(f"{index}. {name}" for index, name in enumerate(description["label_space"]["names"]))
    return _TEMPLATE.format(
        mark=_MARK,
        title=title,
        version=description["dsrnss"],
        network=f"{parts}, {network['num_classes']} classes",
        licence=card.get("licence", "not stated; the terms of the data and of the initial weights apply."),
        classes=classes,
        training=table,
    )


def may_replace(path: Path) -> bool:
    """Whether there is no card yet, or one that nobody has made his own."""
    return not path.exists() or _MARK in path.read_text(encoding="utf-8", errors="replace")


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
