import io

import pytest
from rich.console import Console

from dsrnss.errors import ConfigError
from dsrnss.reporting.estimate import FinishEstimate
from dsrnss.reporting.progress import DemoProgress, rough_duration, short_duration


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def run(estimate, clock, name, total, seconds):
    estimate.start(name, total)
    for _ in range(total):
        clock.now += seconds / total
        estimate.advance()


def test_before_anything_is_measured_the_weights_speak(clock):
    estimate = FinishEstimate({"a": 20, "b": 60}, clock)
    assert estimate.remaining() == 80
    assert estimate.fraction() == 0


def test_a_slow_machine_stretches_the_phases_to_come(clock):
    estimate = FinishEstimate({"a": 20, "b": 60}, clock)
    run(estimate, clock, "a", 10, 40)
    estimate.finish()
    assert estimate.remaining() == pytest.approx(120)
    assert estimate.fraction() == pytest.approx(0.25)


def test_a_steady_phase_is_foreseen_exactly(clock):
    estimate = FinishEstimate({"a": 1}, clock)
    estimate.start("a", 100)
    for _ in range(30):
        clock.now += 2
        estimate.advance()
    assert estimate.remaining() == pytest.approx(140)
    clock.now += 1
    assert estimate.remaining() == pytest.approx(139)


def test_a_change_of_speed_is_followed(clock):
    estimate = FinishEstimate({"a": 1}, clock)
    estimate.start("a", 1000)
    for seconds in [10] * 30 + [1] * 100:
        clock.now += seconds
        estimate.advance()
    assert estimate.remaining() == pytest.approx(870, rel=0.01)


def test_a_phase_of_one_long_step_counts_down(clock):
    estimate = FinishEstimate({"a": 30, "b": 10}, clock)
    estimate.start("a", 1)
    clock.now += 12
    assert estimate.remaining() == pytest.approx(28)
    clock.now += 100
    assert estimate.remaining() == pytest.approx(10)


def test_seconds_a_phase_and_the_end(clock):
    estimate = FinishEstimate({"a": 1, "b": 1}, clock)
    run(estimate, clock, "a", 4, 8)
    run(estimate, clock, "b", 2, 3)
    estimate.finish()
    estimate.stop()
    clock.now += 100
    assert estimate.seconds() == {"a": 8, "b": 3}
    assert estimate.elapsed() == 11
    assert estimate.fraction() == 1
    assert estimate.over


def test_unknown_phases_and_bad_weights_are_refused(clock):
    with pytest.raises(ConfigError, match="Did you mean 'render'"):
        FinishEstimate({"render": 1}, clock).start("rendr", 1)
    with pytest.raises(ConfigError, match="positive"):
        FinishEstimate({"render": 0}, clock)


def test_a_log_gets_a_line_now_and_then(clock):
    out = io.StringIO()
    with DemoProgress({"train": 100, "evaluate": 20}, console=Console(file=out), clock=clock) as progress:
        progress.start("train", total=100)
        for step in range(100):
            clock.now += 1
            progress.advance(loss=1 / (step + 1), mean_iou="31.5")
        progress.start("evaluate", total=1)
        clock.now += 20
        progress.advance()
    lines = out.getvalue().splitlines()
    assert len(lines) == 4 + 7
    assert lines[1] == "[ 12 %, 0:15, about 2 min left] train: 15/100, loss 0.0667, mean iou 31.5"
    assert lines[-1] == "[100 %, 2:00, done] evaluate: done in 0:20"
    assert out.getvalue().isascii()
    assert progress.seconds == {"train": 100, "evaluate": 20}


def test_a_terminal_gets_bars_with_an_estimate(clock):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    progress = DemoProgress({"train": 100, "evaluate": 100}, console=console, live=True, clock=clock)
    with progress:
        progress.start("train", total=100)
        for _ in range(50):
            clock.now += 1
            progress.advance(loss=0.5)
        with console.capture() as shown:
            console.print(progress.render())
    text = shown.get()
    assert "50/100, loss 0.5" in text
    assert "25 % · 0:50 so far · about 2.5 min left" in text
    assert "evaluate" in text


def test_an_error_leaves_the_phase_unfinished_and_comes_through(clock):
    out = io.StringIO()
    progress = DemoProgress({"train": 100}, console=Console(file=out), clock=clock)
    with pytest.raises(ValueError, match="boom"), progress:
        progress.start("train", total=10)
        raise ValueError("boom")
    assert "done" not in out.getvalue()
    assert not progress.estimate.over


def test_it_counts_without_being_shown(clock):
    out = io.StringIO()
    progress = DemoProgress({"train": 1}, console=Console(file=out), clock=clock)
    progress.advance()
    progress.start("train", total=2)
    clock.now += 50
    progress.advance()
    assert out.getvalue() == ""
    assert progress.seconds == {"train": 50}


def test_names_with_brackets_are_not_markup(clock):
    out = io.StringIO()
    with DemoProgress({"a [bold]b": 1}, console=Console(file=out), clock=clock) as progress:
        progress.start("a [bold]b", total=1)
    assert "a [bold]b: started" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "a few seconds"),
        (38, "about 40 s"),
        (100, "about 1.5 min"),
        (700, "about 12 min"),
        (7090, "about 2 h 00 min"),
    ],
)
def test_estimates_are_round(seconds, text):
    assert rough_duration(seconds) == text


def test_durations_read_like_a_watch():
    assert [short_duration(s) for s in (7.4, 750, 3725)] == ["0:07", "12:30", "1:02:05"]
