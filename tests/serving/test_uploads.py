"""Uploads that wait for their request."""

from contextlib import ExitStack

import pytest

from dsrnss.errors import RefusedError
from dsrnss.serving import uploads
from dsrnss.serving.limits import Limits, Upload


def test_an_upload_is_handed_out_once_and_lies_in_no_file(tmp_path, limits: Limits) -> None:
    kept = uploads.Uploads(tmp_path, limits)
    paths = [kept.put(Upload("a.png", b"same")) for _ in range(2)]
    assert paths[0] != paths[1]
    assert kept.take(paths[0]) == Upload("a.png", b"same")
    with pytest.raises(RefusedError, match="drop the file again"):
        kept.take(paths[0])
    assert kept.take(paths[1]).content == b"same"
    assert kept.size == 0
    assert not [*tmp_path.iterdir()]


def test_only_so_much_is_kept(tmp_path, limits: Limits) -> None:
    kept = uploads.Uploads(tmp_path, limits)
    with pytest.raises(RefusedError, match="busy"):
        for _ in range(10):
            kept.put(Upload("a.png", bytes(limits.max_bytes)))
    assert kept.size <= (limits.waiting + 2) * limits.max_bytes


def test_only_so_many_are_read_at_once(tmp_path, limits: Limits) -> None:
    kept, inside = uploads.Uploads(tmp_path, limits), ExitStack()
    for _ in range(limits.waiting + 1):
        inside.enter_context(kept.reading())
    with pytest.raises(RefusedError, match="busy"), kept.reading():
        pass
    inside.close()
    with kept.reading():
        pass


def test_what_nobody_asks_for_is_forgotten(tmp_path, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "KEPT_SECONDS", 0.05)
    kept = uploads.Uploads(tmp_path, limits)
    kept.put(Upload("a.png", b"content"))
    for _ in range(100):
        if not kept.size:
            break
        uploads.threading.Event().wait(0.02)
    assert kept.size == 0
