"""The page: gradio gives the layout and takes files, the result is HTML of our own that holds all it shows."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import escape

from dsrnss.errors import DsrnssError, RefusedError
from dsrnss.serving import view
from dsrnss.serving.desk import Turn
from dsrnss.serving.limits import Upload, is_video, megabytes
from dsrnss.serving.work import Service

_LOG = logging.getLogger(__name__)
TEMPLATES = Path(__file__).parent / "templates"
_EMPTY = (TEMPLATES / "empty.html").read_text(encoding="utf-8")
_INTRO = """\
<div class="intro">
<h1>Night segmentation</h1>
<p>What is where in a street at night, by the {model}. Nothing that you give is kept.</p>
<p class="limits">Pictures up to {megapixels:g} megapixels, videos up to {frames} frames, files up to {megabytes} MB.
</p></div>"""
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "Arial", "sans-serif")
_MONO = ("ui-monospace", "Menlo", "Consolas", "Liberation Mono", "monospace")
_Uploaded = dict[str, Any]


def theme() -> gr.Theme:
    """Fonts of the visitor's own system: the defaults of gradio are fetched."""
    found = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=_MONO)
    return found.set(body_text_color_subdued="*neutral_500", button_primary_background_fill="*primary_600")


def build_page(service: Service) -> gr.Blocks:
    """Lay out the page.

    Args:
        service: What answers.
    """
    limits = service.limits
    intro = _INTRO.format(
        model=escape(service.model),
        megapixels=limits.max_pixels / 1e6,
        frames=limits.max_frames,
        megabytes=megabytes(limits.max_bytes),
    )
    page: gr.Blocks
    with gr.Blocks(title="dsrnss", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(intro)
        with gr.Row():
            with gr.Column(scale=2, min_width=300), gr.Tabs():
                with gr.Tab("Picture or video"):
                    single = _file("Night picture, or a short video", "single", 190)
                    scene = gr.Button("Use the built-in night scene", elem_id="scene")
                with gr.Tab("With a day picture"):
                    night = _file("Night picture", "night", 150)
                    day = _file("The same place by day", "day", 150)
                    pair = gr.Button("Use the built-in pair", elem_id="pair")
            with gr.Column(scale=4, min_width=300):
                result = gr.HTML(_EMPTY, elem_id="result", js_on_load=None)
        answers = _Answers(service)
        common: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None, "preprocess": False}
        single.upload(answers.single, single, [result, single], **common)
        for file in (night, day):
            file.upload(answers.pair, [night, day], [result, night, day], **common)
        scene.click(answers.scene, None, result, **common)
        pair.click(answers.scene_pair, None, result, **common)
    page.queue(default_concurrency_limit=None)
    return page


def _file(label: str, name: str, height: int) -> gr.File:
    return gr.File(label=label, elem_id=name, height=height, file_count="single")


class _Answers:
    """What the page's buttons and drop zones do; a file is what gradio tells of an upload."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def single(self, file: _Uploaded | None) -> tuple[str, None]:
        """Segment a picture or video that was uploaded."""
        return self._answer(lambda turn: self._one(turn, self._taken(file))), None

    def pair(self, night: _Uploaded | None, day: _Uploaded | None) -> tuple[Any, Any, Any]:
        """Segment a pair as soon as both are there."""
        if night is None or day is None:
            return gr.skip(), gr.skip(), gr.skip()
        both = (night, day)
        html = self._answer(
            lambda turn: self._service.picture(turn, view.picture_html, *[self._taken(file) for file in both])
        )
        return html, None, None

    def scene(self) -> str:
        """Segment the built-in scene."""
        return self._answer(lambda turn: self._service.scene(turn, view.picture_html, with_reference=False))

    def scene_pair(self) -> str:
        """Segment the built-in scene with its day reference."""
        return self._answer(lambda turn: self._service.scene(turn, view.picture_html, with_reference=True))

    def _one(self, turn: Turn, upload: Upload) -> str:
        if is_video(upload.content):
            space = self._service.segmenter.label_space
            return self._service.video(turn, lambda answer: view.video_html(answer, space), upload)
        return self._service.picture(turn, view.picture_html, upload)

    def _taken(self, file: _Uploaded | None) -> Upload:
        if file is None:
            raise RefusedError("There is no file: drop one.", 400)
        return self._service.uploads.take(file["path"])

    def _answer(self, work: Callable[[Turn], str]) -> str:
        try:
            with self._service.desk.admitted() as turn:
                return work(turn)
        except DsrnssError as error:
            return view.refusal_html(str(error))
        except Exception as error:
            _LOG.warning("a request failed: %s: %s", type(error).__name__, error)
            return view.refusal_html("The server failed at this request; its log says why.")
