"""The HTTP interface: pictures and videos in, JSON out."""

import base64
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dsrnss import __version__
from dsrnss.errors import DsrnssError, RefusedError, did_you_mean
from dsrnss.inference.results import Segmentation, encode_png
from dsrnss.inference.sources import OUTPUTS
from dsrnss.labels import LabelSpace
from dsrnss.reporting.figures import heat_map, paint_flow
from dsrnss.serving.guard import UPLOAD
from dsrnss.serving.limits import PICTURES, VIDEOS, Upload, check_name
from dsrnss.serving.work import PictureAnswer, Service, VideoAnswer

_LOG = logging.getLogger(__name__)
_PAIR_FILES = ("warped", "flow", "agreement")


class _InMemory(MultiPartParser):
    """Files of a form stay in memory: nothing of an upload is written to disk."""

    spool_max_size = 2**40


def routes(service: Service) -> list[Route]:
    """The addresses of the interface, and the one that the page uploads to."""

    async def model(_: Request) -> Response:
        limits, segmenter = service.limits, service.segmenter
        return JSONResponse(
            {
                "dsrnss": __version__,
                "model": service.model,
                "device": str(segmenter.device),
                "classes": _classes(segmenter.label_space),
                "limits": {
                    "max_pixels": limits.max_pixels,
                    "max_upload_bytes": limits.max_bytes,
                    "max_frames": limits.max_frames,
                    "seconds": limits.seconds,
                    "waiting": limits.waiting,
                },
                "pictures": [*PICTURES],
                "videos": [*VIDEOS],
            }
        )

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "inside": service.desk.inside})

    async def segment(request: Request) -> Response:
        kinds = _kinds(request)
        with service.desk.admitted() as turn:
            files = await _files(request, ("image", "reference"), service)
            if "image" not in files:
                raise RefusedError("The form has no file 'image': curl -F image=@PHOTO.jpg.", 400)
            shape = partial(_picture, kinds)
            return await run_in_threadpool(service.picture, turn, shape, files["image"], files.get("reference"))

    async def scene(request: Request) -> Response:
        shape = partial(_picture, _kinds(request))
        with_reference = request.query_params.get("reference", "false") == "true"
        with service.desk.admitted() as turn:
            return await run_in_threadpool(service.scene, turn, shape, with_reference=with_reference)

    async def video(request: Request) -> Response:
        with service.desk.admitted() as turn:
            files = await _files(request, ("video",), service)
            if "video" not in files:
                raise RefusedError("The form has no file 'video': curl -F video=@CLIP.mp4.", 400)
            shape = partial(_video, service.segmenter.label_space, files["video"].stem)
            return await run_in_threadpool(service.video, turn, shape, files["video"])

    async def upload(request: Request) -> Response:
        try:
            with service.uploads.reading():
                files = await _files(request, ("files",), service)
            return JSONResponse([service.uploads.put(file) for file in files.values()])
        except RefusedError as error:  # the page shows text as it is
            return PlainTextResponse(str(error), error.status)

    return [
        Route("/api/model", _told(model)),
        Route("/api/health", _told(health)),
        Route("/api/segment", _told(segment), methods=["POST"]),
        Route("/api/scene", _told(scene), methods=["POST"]),
        Route("/api/video", _told(video), methods=["POST"]),
        Route(UPLOAD, upload, methods=["POST"]),  # in the place of gradio's, which writes files
    ]


Endpoint = Callable[[Request], Awaitable[Response]]


def _told(endpoint: Endpoint) -> Endpoint:
    """Make answers of the errors of an endpoint."""

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except RefusedError as error:
            response = JSONResponse({"error": str(error)}, error.status)
        except DsrnssError as error:
            response = JSONResponse({"error": str(error)}, 422)
        except Exception as error:
            _LOG.warning("a request failed: %s: %s", type(error).__name__, error)
            response = JSONResponse({"error": "The server failed at this request; its log says why."}, 500)
        response.headers["cache-control"] = "no-store"
        return response

    return answer


async def _files(request: Request, fields: Sequence[str], service: Service) -> dict[str, Upload]:
    """The files of a form, by field.

    Raises:
        RefusedError: If it is no form, or holds something else, or too much.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RefusedError("Send a form: curl -F image=@PHOTO.jpg.", 415)
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=len(fields), max_fields=0).parse()
    except MultiPartException as error:
        raise RefusedError(f"This form cannot be read: {error.message}", 400) from error
    found: dict[str, Upload] = {}
    for field, value in form.multi_items():
        if field not in fields or not isinstance(value, UploadFile):
            raise RefusedError(f"The form has a field '{field[:80]}'; it may have the files {', '.join(fields)}.", 400)
        service.limits.check_size(value.size or 0)
        found[field] = Upload(check_name(value.filename or ""), await value.read())
    return found


def _kinds(request: Request) -> list[str]:
    """What is asked for: `?include=labels,overlay`."""
    kinds = [word for word in request.query_params.get("include", "labels").split(",") if word]
    for kind in kinds:
        if kind not in OUTPUTS:
            raise RefusedError(f"include: unknown kind '{kind[:40]}'.{did_you_mean(kind[:40], OUTPUTS)}", 400)
    return kinds


def _picture(kinds: Sequence[str], answer: PictureAnswer) -> Response:
    plain, refined = answer.plain, answer.refined
    content: dict[str, Any] = {
        "name": plain.name,
        "width": plain.image.width,
        "height": plain.image.height,
        "seconds": round(answer.seconds, 3),
        **_result(plain, kinds),
    }
    if refined is not None:
        painted = (refined.warped, paint_flow(refined.flow), heat_map(refined.agreement))
        content["refined"] = _result(refined.result, kinds)
        content["reference"] = {
            "aligned_at": [refined.night.shape[1], refined.night.shape[0]],
            "changed": round(float((plain.labels != refined.result.labels).mean()), 6),
            "files": {
                f"{name}.png": _base64(encode_png(Image.fromarray(pixels)))
                for name, pixels in zip(_PAIR_FILES, painted, strict=True)
            },
        }
    return JSONResponse(content)


def _video(space: LabelSpace, name: str, answer: VideoAnswer) -> Response:
    record = answer.record
    return JSONResponse(
        {
            "name": name,
            "frames": record.frames,
            "frames_per_second": record.frames_per_second,
            "width": record.width,
            "height": record.height,
            "seconds": record.seconds,
            "mean_confidence": record.mean_confidence,
            "classes": _classes(space, record.class_shares),
            "damaged": record.damaged,
            "files": {name: _base64(content) for name, content in answer.files.values()},
        }
    )


def _result(result: Segmentation, kinds: Sequence[str]) -> dict[str, Any]:
    return {
        "mean_confidence": round(result.mean_confidence(), 4),
        "classes": _classes(result.label_space, result.shares()),
        "files": {f"{result.name}{OUTPUTS[kind]}": _base64(result.encoded(kind)) for kind in kinds},
    }


def _classes(space: LabelSpace, shares: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "name": name,
            "colour": list(colour),
            **({} if shares is None else {"share": round(shares[name], 6)}),
        }
        for number, (name, colour) in enumerate(zip(space.names, space.palette, strict=True))
    ]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
