"""What a user sees of a long job: how far it is and when it will be done, in a terminal and in a log."""

import io

import pytest
from rich.console import Console

from dsrnss.progress import ProgressDisplay, counting, rough_duration


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log():
    """A log file: no terminal, and too narrow for any line."""
    return Console(file=io.StringIO(), width=20)


def lines(console):
    return console.file.getvalue().splitlines()


def work(display, clock, name, total, seconds, **figures):
    display.begin(name, total)
    for _ in range(total):
        clock.now += seconds / total
        display.advance(**figures)


def test_a_log_gets_a_line_now_and_then(clock, log):
    with ProgressDisplay({"train": 100, "evaluate": 20}, console=log, clock=clock) as display:
        display.begin("train", 100)
        for step in range(100):
            clock.now += 1
            display.advance(loss=1 / (step + 1), mean_iou="31.5")
        work(display, clock, "evaluate", 2, 20)
    shown = lines(log)
    assert len(shown) == 4 + 3
    assert shown[0] == "[  0 %, 0:00:00, about 2 min left] train: started"
    assert shown[1] == "[ 25 %, 0:00:30, about 1.5 min left] train: 30/100, 1/s, loss 0.03333, mean iou 31.5"
    assert shown[-1] == "[100 %, 0:02:00] evaluate: 2/2 done in 0:00:20"
    assert log.file.getvalue().isascii()
    assert display.seconds == {"train": 100, "evaluate": 20}


def test_a_short_count_leaves_no_line_in_a_log(capsys):
    with counting("samples") as progress:
        for done in range(50):
            progress(done + 1, 50)
    assert capsys.readouterr() == ("", "")


def test_a_long_count_tells_rate_and_time_left(clock, log):
    with ProgressDisplay(console=log, clock=clock) as display:
        display.begin("samples", None)
        for done in range(0, 61, 10):
            clock.now += 10
            display.reach(done, 600)
    assert lines(log) == [
        "[  3 %, 0:00:30, about 10 min left] samples: 20/600, 1/s",
        "[  8 %, 0:01:00, about 9 min left] samples: 50/600, 1/s",
    ]


def test_downloads_count_in_bytes(clock, log):
    with ProgressDisplay(console=log, unit="bytes", clock=clock) as display:
        display.begin("mit_b5", None)
        for done in (0, 20_000_000, 30_000_000, 40_000_000):
            clock.now += 10
            display.reach(done, 80_000_000)
    assert lines(log) == ["[ 38 %, 0:00:30, about 50 s left] mit_b5: 30.0 MB/80.0 MB, 1.0 MB/s"]


def test_a_terminal_gets_bars_with_an_estimate(clock):
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    with ProgressDisplay({"train": 100, "evaluate": 100}, console=console, clock=clock) as display:
        work(display, clock, "train", 100, 50, loss=0.5)
        display.begin("evaluate", 100)
        for _ in range(50):
            clock.now += 1
            display.advance()
    text = console.file.getvalue()
    assert "100/100" in text
    assert "loss 0.5" in text
    assert "about 50 s left" in text
    assert "altogether" in text


def test_a_nested_bar_comes_and_goes(clock, log):
    with ProgressDisplay(console=log, clock=clock) as display:
        work(display, clock, "step", 4, 8)
        display.begin("validate", 2)
        display.advance()
        display.end(quiet=True)
        display.end()
    assert lines(log) == ["[100 %, 0:00:08] step: 4/4 done in 0:00:08"]


def test_before_anything_is_measured_the_weights_speak(clock, log):
    with ProgressDisplay({"a": 200, "b": 400}, console=log, clock=clock) as display:
        display.begin("a", 10)
    assert "[  0 %, 0:00:00, about 10 min left] a: started" in lines(log)


def test_a_slow_machine_stretches_the_phases_to_come(clock, log):
    with ProgressDisplay({"a": 200, "b": 600}, console=log, clock=clock) as display:
        work(display, clock, "a", 10, 400)
        display.begin("b", 1)
    assert "[ 25 %, 0:06:40, about 20 min left] b: started" in lines(log)


def test_a_change_of_speed_is_followed(clock, log):
    with ProgressDisplay({"a": 1}, console=log, clock=clock) as display:
        display.begin("a", 1000)
        for seconds in [10] * 30 + [1] * 150:
            clock.now += seconds
            display.advance()
    assert "about 14 min left" in lines(log)[-2]


@pytest.mark.parametrize("speed", [1e-6, 1e6])
def test_estimates_are_always_finite(clock, log, speed):
    with ProgressDisplay({"a": 1, "b": 1}, console=log, clock=clock) as display:
        work(display, clock, "a", 5, 5 / speed)
        work(display, clock, "b", 5, 5 / speed)
    assert "nan" not in log.file.getvalue()
    assert "inf" not in log.file.getvalue()


def test_an_error_leaves_the_phase_unfinished_and_comes_through(clock, log):
    with pytest.raises(ValueError, match="boom"), ProgressDisplay({"a": 9}, console=log, clock=clock) as display:
        display.begin("a", 10)
        raise ValueError("boom")
    clock.now += 100
    assert "done" not in log.file.getvalue()
    assert display.seconds == {"a": 0}


def test_names_with_brackets_are_not_markup(clock, log):
    with ProgressDisplay({"a [bold]b": 1}, console=log, clock=clock) as display:
        display.begin("a [bold]b", 1)
    assert "a [bold]b: started" in log.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, ""),
        (3, "a few seconds left"),
        (38, "about 40 s left"),
        (100, "about 1.5 min left"),
        (700, "about 12 min left"),
        (7090, "about 1 h 58 min left"),
    ],
)
def test_estimates_are_round(seconds, text):
    assert rough_duration(seconds) == text
