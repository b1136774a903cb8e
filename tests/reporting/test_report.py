import dataclasses
import json
import math
import re

import numpy as np
import pytest
from report_pages import Page

from dsrnss.errors import ConfigError, OutputError
from dsrnss.metrics import LabelFree
from dsrnss.reporting import report as module
from dsrnss.reporting.content import Curve, Panel
from dsrnss.reporting.report import write_report


@pytest.fixture
def written(tmp_path):
    def write(report):
        page, _ = write_report(report, tmp_path / "demo" / "report.html")
        return page.read_text(encoding="utf-8")

    return write


def test_every_tag_is_closed_and_every_picture_is_told(written, make_report, make_panel):
    page = Page(written(make_report(panels=[make_panel(reference=True), make_panel("b", seed=1)])))
    pictures = [attrs for tag, attrs in page.attributes if tag == "img"]
    assert len(pictures) == 5 + 4
    assert all(attrs["alt"] for attrs in pictures)
    assert all("scope" in attrs for tag, attrs in page.attributes if tag == "th")
    ids = [attrs["id"] for _, attrs in page.attributes if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"][1:] for tag, attrs in page.attributes if tag == "a"}
    assert targets <= set(ids)


def test_the_page_needs_nothing_from_outside(written, make_report):
    text = written(make_report())
    page = Page(text)
    for tag, attrs in page.attributes:
        assert tag not in ("script", "iframe", "object")
        for key in ("src", "href", "srcset", "xlink:href", "poster"):
            assert attrs.get(key, "#").startswith(("#", "data:")), (tag, attrs)
    assert "://" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?data:)", text)


def test_the_numbers_stand_where_they_belong(written, make_report):
    page = Page(written(make_report()))
    road, wall, terrain = page.row("road"), page.row("wall"), page.row("terrain")
    assert [word for word in road if "." in word] == ["10.0", "16.1", "+6.1"]
    assert [word for word in wall if "." in word] == ["22.0", "9.7", "\N{MINUS SIGN}12.3"]
    assert terrain[1:4] == ["-", "-", "-"]
    assert "nan" not in "".join(page.text).lower().split()
    told = " ".join("".join(page.text).split())
    assert "it counts as 0 in the means" in told
    assert "mean of all 19 classes" in told
    assert "raised the mean IoU from 43.6 to 48.4 %" in told
    assert "4 min 05 s" in told
    assert "dsrnss demo --seed 0" in told


def test_worse_is_called_worse(written, make_report):
    scores = dict(make_report().scores)
    scores = {"source-only": scores["adapted"], "adapted": scores["source-only"]}
    assert "lowered the mean IoU from 48.4 to 43.6 %" in written(make_report(scores=scores))


def test_an_oracle_adds_its_column_and_the_gap(written, make_report, make_scores):
    base = dict(make_report().scores)
    oracle = dataclasses.replace(make_scores(np.full(19, 0.9)), mean_iou=0.627)
    page = Page(written(make_report(scores=base | {"oracle": oracle})))
    assert page.row("road")[-1] == "90.0"
    assert "25 % of the way" in "".join(page.text)


def test_odd_names_are_shown_and_never_run(written, make_report, make_panel):
    evil = "<script>alert('1')</script>&\"é"
    report = make_report(
        title=evil, command=evil, notes=[evil + " `<b>`"], settings={evil: evil}, panels=[make_panel(evil)]
    )
    text = written(report)
    assert "<script" not in text
    page = Page(text)
    assert "".join(page.text).count(evil) >= 5
    assert "<code>&lt;b&gt;</code>" in text


def test_a_bare_report_is_still_a_page(written, make_report, make_scores):
    empty = dataclasses.replace(make_scores(np.full(19, math.nan), math.nan), mean_iou=math.nan)
    report = make_report(
        scores={"source-only": empty, "adapted": empty},
        curves=[Curve("none", "", [], "loss"), Curve("nan", "", [(1, math.nan)], "miou"), Curve("one", "", [(5, 1.0)])],
        panels=[],
        settings={},
        machine={},
        seconds={},
        notes=[],
    )
    page = Page(written(report))
    assert [tag for tag, attrs in page.attributes if tag == "svg" and attrs.get("role") == "img"] == ["svg"]


def test_ignored_and_negative_labels_are_black_and_uncounted(written, make_report, make_panel):
    panel = make_panel()
    truth = panel.truth.astype(np.int64)
    truth[:24], truth[24:30] = 255, -1
    text = written(make_report(panels=[Panel("p", panel.image, truth, panel.predictions)]))
    assert "not labelled" in text
    assert "100.0 % right" in text


def test_the_page_stays_small_however_large_the_pictures(written, make_report):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (768, 1536, 3), dtype=np.uint8)
    labels = rng.integers(0, 19, (768, 1536), dtype=np.uint8)
    panels = [Panel(str(i), noise, labels, {"Source-only": labels, "Adapted": labels}, noise) for i in range(8)]
    assert len(written(make_report(panels=panels)).encode()) < module.MAX_BYTES


def test_the_json_beside_it_holds_all_numbers(tmp_path, make_report):
    files = write_report(make_report(), tmp_path / "report.html")
    assert [path.name for path in files] == ["report.html", "report.json"]
    numbers = json.loads(files[1].read_text())
    assert numbers["scores"]["adapted"]["iou"]["road"] == pytest.approx(0.161)
    assert numbers["scores"]["adapted"]["iou"]["terrain"] is None
    assert numbers["seconds"] == {"adapt to night": 245.0, "evaluate": 8.04}
    assert numbers["curves"][1]["points"] == [[0, 30.0], [100, 33.5], [200, 36.25]]
    assert numbers["gap_closed"] is None


def test_numpy_numbers_are_welcome(tmp_path, make_report):
    curve = Curve("c", "%", [(np.int64(3), np.float32(0.5))], "loss")
    files = write_report(make_report(curves=[curve]), tmp_path / "report.html")
    assert json.loads(files[1].read_text())["curves"][0]["points"] == [[3, 0.5]]


def test_a_failed_write_leaves_the_old_report(tmp_path, make_report, monkeypatch):
    page = tmp_path / "report.html"
    page.write_text("old")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OutputError, match=r"report\.json.*No space left"):
        write_report(make_report(), page)
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture
def unlabelled(make_report, make_panel):
    """The report of a run whose night has no labels."""
    report = make_report(panels=[dataclasses.replace(make_panel(), truth=None)])
    number = report.label_space.num_classes
    even = np.full(number, 1 / number)
    first = np.eye(number)[0]
    found = {"source-only": LabelFree(0.25, 0.4, 0.5, first), "adapted": LabelFree(0.5, 0.6, 0.75, even)}
    return dataclasses.replace(report, scores={}, unlabelled=found, day_shares=even)


def test_without_labels_at_night_it_tells_what_is_seen_and_claims_no_accuracy(written, unlabelled):
    text = written(unlabelled)
    page = Page(text)
    shown = " ".join(page.text)
    assert "how right it is was not measured" in shown and "Every class" not in shown
    road = page.row(unlabelled.label_space.names[0])
    share = f"{100 / unlabelled.label_space.num_classes:.1f}"
    assert road[1:3] == ["100.0", share] and road[-1] == share
    alts = [attributes["alt"] for tag, attributes in page.attributes if tag == "img"]
    assert not any(alt.startswith("Truth") for alt in alts) and len(alts) == 3


def test_its_numbers_say_the_same(tmp_path, unlabelled):
    _, numbers = write_report(unlabelled, tmp_path / "report.html")
    found = json.loads(numbers.read_text())
    assert found["scores"] == {} and found["gap_closed"] is None
    assert found["unlabelled"]["adapted"]["consistency"] == 0.5
    assert found["unlabelled"]["source-only"]["shares"][unlabelled.label_space.names[0]] == 1


def test_a_report_compares_two_networks(unlabelled):
    one = {"adapted": unlabelled.unlabelled["adapted"]}
    with pytest.raises(ConfigError, match="source-only"):
        dataclasses.replace(unlabelled, unlabelled=one)
