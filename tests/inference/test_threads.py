import threading
import time

import pytest

from dsrnss.inference.threads import ReadAhead, WriteBehind


def test_items_come_in_order_and_the_source_runs_only_a_few_ahead() -> None:
    made: list[int] = []

    def source():
        for number in range(100):
            made.append(number)
            yield number

    with ReadAhead(source(), 2) as numbers:
        assert next(numbers) == 0
        time.sleep(0.3)
        assert len(made) <= 4
        assert [*numbers] == [*range(1, 100)]


def test_an_error_of_the_source_is_raised_where_its_item_was_to_come() -> None:
    def source():
        yield 1
        raise ValueError("no more")

    with ReadAhead(source(), 5) as numbers:
        assert next(numbers) == 1
        with pytest.raises(ValueError, match="no more"):
            next(numbers)


def test_a_camera_drops_its_oldest_frames_and_never_waits() -> None:
    done = threading.Event()

    def source():
        yield from range(20)
        done.set()

    camera = ReadAhead(source(), 2, newest=True)
    with camera as frames:
        assert done.wait(5)
        seen = [*frames]
    assert seen[-1] == 19 and len(seen) <= 3
    assert camera.dropped == 20 - len(seen)


def test_all_is_written_in_order_before_the_block_ends() -> None:
    written: list[int] = []

    def write(number: int) -> None:
        time.sleep(0.01)
        written.append(number)

    with WriteBehind(write, 2) as writer:
        for number in range(10):
            writer.put(number)
    assert written == [*range(10)]


def test_an_error_of_the_writer_is_raised_by_a_later_item_or_at_the_end() -> None:
    def fail(_: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), WriteBehind(fail, 1) as writer:
        for number in range(10):
            writer.put(number)
    with pytest.raises(OSError, match="disk full"), WriteBehind(fail, 5) as writer:
        writer.put(1)


def test_leaving_by_an_error_stops_both_threads() -> None:
    def endless():
        while True:
            yield 0

    before = threading.active_count()
    with (
        pytest.raises(KeyboardInterrupt),
        ReadAhead(endless(), 1) as numbers,
        WriteBehind(lambda _: time.sleep(0.01), 1) as out,
    ):
        out.put(next(numbers))
        raise KeyboardInterrupt
    assert threading.active_count() == before
