import io

from rich.console import Console

from dsrnss.labels import CITYSCAPES
from dsrnss.reporting.tables import print_scores
from dsrnss.reporting.wording import clock, signed


def show(scores, **options):
    console = Console(file=io.StringIO(), width=80, **options)
    print_scores(console, scores, CITYSCAPES)
    return console.file.getvalue()


def test_the_table_holds_every_class_and_the_means(make_report):
    text = show(make_report().scores)
    rows = {line.split("  ")[0].strip(): line.split()[-3:] for line in text.splitlines()}
    assert rows["road"] == ["10.0", "16.1", "+6.1"]
    assert rows["traffic light"][-1] == "+6.1"
    assert rows["wall"] == ["22.0", "9.7", "-12.3"]
    assert rows["terrain"] == ["-", "-", "-"]
    assert rows["pixels right"] == ["70.0", "75.0", "+5.0"]
    assert text.isascii()


def test_one_network_alone_has_no_change_column(make_report):
    text = show({"test": make_report().scores["adapted"]})
    assert "change" not in text
    assert "16.1" in text


def test_a_terminal_sees_the_class_colours(make_report):
    text = show(make_report().scores, force_terminal=True, color_system="truecolor")
    assert "48;2;128;64;128" in text


def test_differences_are_signed_and_zero_is_plain():
    assert [signed(x) for x in (0.066, -0.019, 0.0001, -0.0001)] == ["+6.6", "\N{MINUS SIGN}1.9", "0.0", "0.0"]


def test_durations_are_readable():
    assert [clock(s) for s in (2.13, 59.7, 245, 3720)] == ["2.1 s", "1 min 00 s", "4 min 05 s", "1 h 02 min"]
