"""The HTTP interface, and the guard before it."""

import base64
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from strangers import WRONG, encoded, photograph

pytest.importorskip("gradio", reason="the extra [serve] is not installed")
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dsrnss.inference.segmenter import Segmenter
from dsrnss.serving.api import routes
from dsrnss.serving.guard import JOIN, UPLOAD, Access, Guard
from dsrnss.serving.limits import Limits
from dsrnss.serving.work import Service


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with connected(service) as found:
        yield found


def connected(service: Service, access: Access | None = None, address: str = "http://127.0.0.1:7860") -> TestClient:
    app = Guard(Starlette(routes=routes(service)), service.limits, access or Access(), service.folder)
    return TestClient(app, base_url=address)


def picture_of(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


class TestPictures:
    def test_labels_are_those_of_the_segmenter(self, client: TestClient, segmenter: Segmenter) -> None:
        files = {"image": ("street.png", encoded(photograph()))}
        answer = client.post("/api/segment?include=labels,overlay", files=files)
        assert answer.status_code == 200
        found, expected = answer.json(), segmenter(photograph())
        assert (found["name"], found["width"], found["height"]) == ("street", 90, 60)
        assert np.array_equal(picture_of(found["files"]["street_labels.png"]), expected.labels)
        assert picture_of(found["files"]["street_overlay.png"]).shape == (60, 90, 3)
        assert sum(one["share"] for one in found["classes"]) == pytest.approx(1, abs=1e-4)
        assert found["classes"][13]["name"] == "car"
        assert answer.headers["cache-control"] == "no-store"

    def test_a_reference_refines(self, client: TestClient) -> None:
        files = {name: ("a.png", encoded(photograph())) for name in ("image", "reference")}
        found = client.post("/api/segment", files=files).json()
        assert set(found["reference"]["files"]) == {"warped.png", "flow.png", "agreement.png"}
        assert 0 <= found["reference"]["changed"] <= 1
        assert picture_of(found["refined"]["files"]["a_labels.png"]).shape == (60, 90)

    def test_the_built_in_scene(self, client: TestClient) -> None:
        assert client.post("/api/scene?reference=true").json()["refined"]["mean_confidence"] > 0

    @pytest.mark.parametrize("name", WRONG)
    def test_wrong_files_are_refused(self, client: TestClient, name: str) -> None:
        content, reason = WRONG[name]
        answer = client.post("/api/segment", files={"image": (name, content)})
        assert answer.status_code in (415, 422)
        assert reason in answer.json()["error"]
        assert client.get("/api/health").json() == {"status": "ok", "inside": 0}

    @pytest.mark.parametrize(
        ("request_of", "status", "reason"),
        [
            ({"files": {"image": ("../../etc/cron.d/a.png", b"x")}}, 400, "names a folder"),
            ({"files": {"other": ("a.png", b"x")}}, 400, "field 'other'"),
            ({"files": {"reference": ("a.png", b"x")}}, 400, "no file 'image'"),
            ({"files": {"image": ("a.png", b"x")}, "data": {"text": "x"}}, 400, "cannot be read"),
            ({"content": b"x"}, 415, "Send a form"),
            ({"files": {"image": ("a.png", b"x")}, "params": {"include": "lables"}}, 400, "Did you mean 'labels'?"),
        ],
    )
    def test_wrong_forms_are_refused(self, client: TestClient, request_of: dict, status: int, reason: str) -> None:
        answer = client.post("/api/segment", **request_of)
        assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text

    def test_a_full_queue_is_told_before_the_upload_is_read(self, client: TestClient, service: Service) -> None:
        turns = [service.desk.admitted() for _ in range(service.limits.waiting + 1)]
        for turn in turns:
            turn.__enter__()
        answer = client.post("/api/segment", files={"image": ("a.png", encoded(photograph()))})
        for turn in turns:
            turn.__exit__(None, None, None)
        assert (answer.status_code, "busy" in answer.json()["error"]) == (503, True)

    def test_time_is_limited(self, segmenter: Segmenter, limits: Limits, tmp_path: Path) -> None:
        service = Service(segmenter, limits, tmp_path, "tiny")
        service.desk.seconds = 0.0
        answer = connected(service).post("/api/scene")
        assert (answer.status_code, "longer than" in answer.json()["error"]) == (503, True)
        service.desk.close()

    def test_a_bug_is_no_traceback(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Service, "scene", lambda *_, **__: 1 / 0)
        answer = client.post("/api/scene")
        assert (answer.status_code, "log says why" in answer.json()["error"]) == (500, True)


class TestVideos:
    @pytest.fixture
    def clip(self, tmp_path: Path) -> bytes:
        pytest.importorskip("av", reason="PyAV is not installed")
        from videos import encode

        return encode(tmp_path / "clip.mp4", [0, 40, 80, 120]).read_bytes()

    def test_a_video_is_segmented_and_nothing_stays(self, client: TestClient, clip: bytes, tmp_path: Path) -> None:
        (tmp_path / "clip.mp4").unlink()
        found = client.post("/api/video", files={"video": ("clip.mp4", clip)}).json()
        assert (found["frames"], found["width"], found["height"]) == (4, 64, 48)
        assert set(found["files"]) == {"clip_overlay.mp4", "clip_labels.mkv"}
        assert base64.b64decode(found["files"]["clip_overlay.mp4"])[4:8] == b"ftyp"
        assert not [*tmp_path.iterdir()]

    def test_a_long_or_broken_one_is_refused(
        self, segmenter: Segmenter, limits: Limits, clip: bytes, tmp_path: Path
    ) -> None:
        service = Service(segmenter, dataclasses.replace(limits, max_frames=2), tmp_path, "tiny")
        client = connected(service)
        long = client.post("/api/video", files={"video": ("clip.mp4", clip)})
        assert (long.status_code, "at most 2 are taken" in long.json()["error"]) == (413, True)
        broken = client.post("/api/video", files={"video": ("clip.mp4", clip[:40])})
        assert broken.status_code == 422
        assert "'clip.mp4'" in broken.json()["error"]
        assert str(tmp_path) not in broken.text
        playlist = client.post("/api/video", files={"video": ("clip.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")})
        assert playlist.status_code == 415
        service.desk.close()


class TestGuard:
    def test_the_model_and_its_limits_are_told(self, client: TestClient, limits: Limits) -> None:
        found = client.get("/api/model").json()
        assert found["limits"]["max_pixels"] == limits.max_pixels
        assert [one["name"] for one in found["classes"]][:2] == ["road", "sidewalk"]

    @pytest.mark.parametrize(
        "path",
        [
            "/gradio_api/file=/etc/passwd",
            "/gradio_api/file/etc/passwd",
            "/gradio_api/proxy=https://example.org/",
            "/gradio_api/deep_link",
            "/static/../../etc/passwd",
            "/assets/..%2f..%2fetc/passwd",
            "/docs",
            "/monitoring",
            "/login",
        ],
    )
    def test_what_the_page_does_not_use_is_not_there(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 404
        assert client.post(path).status_code == 404

    @pytest.mark.parametrize("declared", [True, False])
    def test_a_large_upload_is_refused_while_it_is_read(self, client: TestClient, declared: bool) -> None:
        content = bytes(5_000_000)
        body = content if declared else (content[start : start + 10_000] for start in range(0, len(content), 10_000))
        answer = client.post("/api/segment", content=body, headers={"content-type": "multipart/form-data; boundary=a"})
        assert answer.status_code == 413
        assert "0.286 MB at most" in answer.json()["error"]
        assert client.post(UPLOAD, content=content).text.startswith("An upload may have")

    def test_pages_of_others_are_refused(self, client: TestClient) -> None:
        for headers in ({"origin": "https://example.org"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
            answer = client.post("/api/scene", headers=headers)
            assert (answer.status_code, "other servers" in answer.json()["error"]) == (403, True)
        assert client.get("/api/health", headers={"sec-fetch-site": "cross-site"}).status_code == 200
        assert client.post("/api/scene", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200

    @pytest.mark.parametrize(
        ("host", "status"),
        [("http://localhost:1", 200), ("http://[::1]:1", 200), ("http://evil.example", 403), ("http://10.0.0.1", 403)],
    )
    def test_other_names_lead_nowhere_where_the_server_is_local(self, service: Service, host: str, status: int) -> None:
        assert connected(service, address=host).get("/api/health").status_code == status
        assert connected(service, Access(local=False), address=host).get("/api/health").status_code == 200

    def test_a_password_is_asked_for(self, service: Service) -> None:
        client = connected(service, Access("anna", "pass:word"))
        for auth in (None, ("anna", "wrong"), ("", "")):
            answer = client.get("/", auth=auth) if auth else client.get("/")
            assert (answer.status_code, "Basic" in answer.headers["www-authenticate"]) == (401, True)
        for said in ("Basic ???", "Basic", "Bearer x"):
            assert client.get("/api/health", headers={"authorization": said}).status_code == 401
        assert client.get("/api/health", auth=("anna", "pass:word")).status_code == 200

    @pytest.mark.parametrize("path", ["/etc/passwd", "https://example.org/a.png", "../a", 7, None])
    def test_the_page_names_only_its_uploads(self, client: TestClient, path: object) -> None:
        body = {"data": [[{"path": path, "meta": {"_type": "gradio.FileData"}}]], "fn_index": 0}
        answer = client.post(JOIN, json=body)
        assert (answer.status_code, "only files that were uploaded" in answer.text) == (400, True)

    def test_broken_and_large_requests_of_the_page_are_refused(self, client: TestClient) -> None:
        assert client.post(JOIN, content=b"{").status_code == 400
        assert client.post(JOIN, content=b"[" * 50_000).status_code == 400
        assert client.post(JOIN, content=json.dumps(["x" * 200_000])).status_code == 413

    def test_uploads_of_the_page_stay_in_memory(self, client: TestClient, service: Service, tmp_path: Path) -> None:
        answer = client.post(UPLOAD, files={"files": ("a.png", b"content")})
        (path,) = answer.json()
        assert service.uploads.take(path).content == b"content"
        assert not [*tmp_path.iterdir()]
        refused = client.post(UPLOAD, files={"files": ("../a.png", b"content")})
        assert (refused.status_code, refused.text) == (400, "'../a.png' names a folder: give a plain file name.")

    def test_browsers_are_told_to_ask_nowhere_else(self, client: TestClient) -> None:
        policy = client.get("/api/health").headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
