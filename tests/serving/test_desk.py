"""The queue: one at a time, a few waiting, each within its time."""

import threading
import time

import pytest

from dsrnss.errors import RefusedError
from dsrnss.serving.desk import Desk, Turn


def test_work_gives_its_result_and_its_errors() -> None:
    desk = Desk(0, 10)
    with desk.admitted() as turn:
        assert turn.run(lambda _: 7) == 7
    with pytest.raises(KeyError), desk.admitted() as turn:
        turn.run(lambda _: {}[1])
    assert desk.inside == 0
    desk.close()


def test_one_is_computed_at_a_time_and_too_many_are_refused() -> None:
    desk, running, most, refused, lock = Desk(3, 30), 0, 0, 0, threading.Lock()

    def work(_: Turn) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1

    def ask() -> None:
        nonlocal refused
        try:
            with desk.admitted() as turn:
                turn.run(work)
        except RefusedError as error:
            assert error.status == 503 and "busy" in str(error)
            with lock:
                refused += 1

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert 0 < refused <= 16
    assert desk.inside == 0
    desk.close()


def test_who_waits_too_long_is_told_and_the_place_is_kept_until_the_work_ends() -> None:
    desk, going_on = Desk(0, 0.2), threading.Event()
    with pytest.raises(RefusedError, match=r"longer than the 0\.2 s"), desk.admitted() as turn:
        turn.run(lambda _: going_on.wait(10))
    with pytest.raises(RefusedError, match="busy"), desk.admitted():
        pass
    going_on.set()
    for _ in range(100):
        if desk.inside == 0:
            break
        time.sleep(0.02)
    with desk.admitted() as turn:
        assert turn.run(lambda _: 1) == 1
    desk.close()


def test_closing_ends_what_is_computed_at_its_next_step() -> None:
    desk, started, said = Desk(0, 30), threading.Event(), []

    def work(turn: Turn) -> None:
        started.set()
        while True:
            turn.check()
            time.sleep(0.01)

    def ask() -> None:
        with pytest.raises(RefusedError) as caught, desk.admitted() as turn:
            turn.run(work)
        said.append(str(caught.value))

    thread = threading.Thread(target=ask)
    thread.start()
    started.wait(5)
    desk.close()
    thread.join(5)
    assert said == ["The server is being stopped."]
    with pytest.raises(RefusedError), desk.admitted() as turn:
        turn.run(lambda _: 1)
