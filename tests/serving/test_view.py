"""Results as HTML."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from strangers import encoded, photograph

from dsrnss.serving.limits import Upload
from dsrnss.serving.view import picture_html, refusal_html
from dsrnss.serving.work import Service


@pytest.fixture
def html(service: Service) -> str:
    photo = Upload("<b>${1}{{x}}.png", encoded(photograph()))
    with service.desk.admitted() as turn:
        return service.picture(turn, picture_html, photo, photo)


def test_all_views_and_files_are_inside(html: str, service: Service) -> None:
    assert re.findall(r'radio" name="view-\w+" value="(\w+)"', html) == [
        "refined", "alone", "changed", "warped", "flow", "confidence",
    ]  # fmt: skip
    assert all(link.startswith("data:") for link in re.findall(r'(?:src|href)="([^"]*)"', html))
    name, link = re.search(r'download="([^"]*_alone_labels.png)" href="data:image/png;base64,([^"]*)"', html).groups()
    assert name == "&lt;b&gt;${1}{{x}}_alone_labels.png"
    labels = np.asarray(Image.open(io.BytesIO(base64.b64decode(link))))
    assert np.array_equal(labels, service.segmenter(photograph()).labels)


def test_names_are_text(html: str) -> None:
    assert "<b>" not in html
    assert "<script>" not in refusal_html("<script>alert(1)</script>")


def test_shares_are_sorted_and_the_rest_is_named(html: str) -> None:
    shares = [float(share) for share in re.findall(r'<td class="number">(\S+) %', html)]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=2)
    assert "Not found:" in html
