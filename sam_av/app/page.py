"""The page: what stands where, and what happens when a visitor touches it."""

import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np
from PIL import Image

from ..predict import FrameMask
from .adapters import AdapterChoice
from .examples import Example
from .limits import Limits
from .looks import dimmed, fit
from .runs import Run, record

TITLE = "What makes the sound?"
_INTRO = f"# {TITLE}\nGive a video, or a picture and a sound, and see the mask of what is heard."
_WAITING = "Choose a video or an example, then press **Find what sounds**."
_NOTHING = "Nothing in the picture is taken to make the sound."
_RATES = (1.0, 2.0, 5.0, 10.0, 25.0)
_KEPT = 3600  # seconds for which a visitor's files are kept after the last use
_GLANCE = 0.4  # seconds between the pictures that are shown while the model runs

_PATH = re.compile(r"'(?:[A-Za-z]:)?[/\\][^']*[/\\]([^'/\\]*)'")  # as errors quote one

_Updates = list[Any]  # new values, or components with new properties, in the order of an event's outputs


@dataclass(frozen=True)
class Page:
    """What the page is made of.

    Attributes:
        choice: the adapters.
        limits: what a visitor may ask for.
        shelf: the folder in which runs are kept; none of it is served.
        examples: what there is to try.
    """

    choice: AdapterChoice
    limits: Limits
    shelf: Path
    examples: Sequence[Example]

    def build(self) -> gr.Blocks:
        """The page, for Gradio to serve."""
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, _KEPT)) as blocks:
            kept = gr.State(None, time_to_live=_KEPT, delete_callback=_forget)
            gr.Markdown(_INTRO, elem_id="intro")
            with gr.Row(equal_height=False):
                with gr.Column(scale=2, min_width=320):
                    given = self._source()
                    adapter, rate = self._settings()
                    with gr.Row():
                        find = gr.Button("Find what sounds", variant="primary", elem_id="find", scale=3)
                        stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80)
                with gr.Column(scale=3, min_width=320):
                    shown, note, controls, files = _result()
            gr.Markdown(self._terms(), elem_id="terms")
            self._connect(find, stop, [*given, adapter, rate], kept, [shown, note], controls, files)
        return blocks.queue(max_size=self.limits.waiting)

    # ----------------------------------------------------------------------------------------------- what stands where

    def _source(self) -> list[gr.State | gr.components.Component]:
        """What a visitor gives: the kind, "video" or "picture", the video, the picture, the sound."""
        kind = gr.State("video")
        with gr.Tabs():
            with gr.Tab("Video") as videos:
                video = gr.Video(show_label=False, sources=["upload", "webcam"], include_audio=True, elem_id="source")
            with gr.Tab("Picture") as pictures:
                picture = gr.Image(show_label=False, type="filepath", sources=["upload", "webcam"], elem_id="picture")
        sound = gr.Audio(
            label="Sound, if not the video's own",
            type="filepath",
            sources=["upload", "microphone"],
            buttons=[],
            elem_id="sound",
        )
        gr.Examples(
            [[str(example.video), None if example.sound is None else str(example.sound)] for example in self.examples],
            [video, sound],
            example_labels=[example.label for example in self.examples],
            label="Or try a drawn scene",
            cache_examples=False,
            api_visibility="private",
        )
        for tab, name in ((videos, "video"), (pictures, "picture")):
            tab.select(lambda name=name: name, None, kind, queue=False, api_visibility="private")
        return [kind, video, picture, sound]

    def _settings(self) -> tuple[gr.Dropdown, gr.Dropdown]:
        about = {
            "none": None,
            "hub": "One of these, or the id of one on the Hub.",
            "any": "One of these, a folder, or the id of one on the Hub.",
        }
        adapter = gr.Dropdown(
            self.choice.names,
            value=self.choice.names[0],
            label="Adapter",
            info=about[self.choice.others],
            allow_custom_value=self.choice.others != "none",
            elem_id="adapter",
        )
        rate = gr.Dropdown(
            [(f"{rate:g} masks a second" if rate > 1 else "1 mask a second", rate) for rate in _RATES],
            value=5.0,
            label="How often the model looks",
            info="A mask stays until the next one.",
            elem_id="rate",
        )
        return adapter, rate

    def _terms(self) -> str:
        return (
            f"Videos and sounds up to {self.limits.seconds:g} s and {self.limits.megabytes:g} MB. One run at a time; "
            "others wait their turn. Nobody else sees what you give, and it is deleted within two hours. "
            "The built-in demo adapters know the twelve drawn things of the scenes and nothing else."
        )

    def _connect(
        self,
        find: gr.Button,
        stop: gr.Button,
        given: list[Any],
        kept: gr.State,
        shown: list[Any],
        controls: list[gr.Slider],
        files: list[Any],
    ) -> None:
        """Says what runs when: the model alone in its queue, files beside it, and looking at once."""
        moment, threshold = controls
        writing: dict[str, Any] = {
            "fn": self.write,
            "inputs": [kept, threshold],
            "outputs": files,
            "concurrency_id": "files",
            "concurrency_limit": 2,
            "api_visibility": "private",
            "show_progress": "hidden",
        }
        found = find.click(
            self.find,
            [*given, kept],
            [kept, *shown, *controls, *files],
            concurrency_id="model",
            concurrency_limit=1,
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=shown[0],
        )
        written = found.success(**writing)
        stop.click(None, cancels=[found, written], api_visibility="private")
        for control in (moment, threshold):
            control.input(
                self.draw,
                [kept, moment, threshold],
                shown,
                queue=False,  # each step of a drag would count as one who waits
                api_visibility="private",
                trigger_mode="always_last",
                show_progress="hidden",
            )
        threshold.release(**writing, trigger_mode="always_last")

    # ---------------------------------------------------------------------------------------------------- what happens

    def find(
        self,
        kind: Literal["video", "picture"],
        video: str | None,
        picture: str | None,
        sound: str | None,
        adapter: str,
        rate: float,
        before: Run | None,
    ) -> Iterator[_Updates]:
        """Runs the model and shows frames meanwhile; what it found takes the place of the visitor's earlier run."""
        given = video if kind == "video" else picture
        unchanged = [gr.skip()] * 6
        with _told():
            if given is None:
                raise ValueError(f"There is no {kind} yet: upload one, record one, or try an example.")
            if kind == "picture" and sound is None:
                raise ValueError("A picture needs a sound: upload or record one.")
            source, heard = Path(given), None if sound is None else Path(sound)
            seconds = self.limits.check_video(source) if kind == "video" else None
            yield [gr.skip(), gr.skip(), "Loading the adapter ...", *unchanged]
            model = self.choice.load(adapter)
            run, begin, glance = Run(self.shelf / secrets.token_hex(16)), time.monotonic(), 0.0
            for frame in record(model, source, heard, run.folder, self.limits, rate=rate):
                if (now := time.monotonic()) - glance > _GLANCE:
                    glance = now
                    yield [gr.skip(), _glance(frame), _progress(frame, seconds, now - begin), *unchanged]
        _forget(before)
        moment, last = run.surest(), run.times[-1]
        yield [
            run,
            *self.draw(run, moment, run.threshold),
            gr.Slider(0, last or 1, moment, step=round(1 / rate, 2), visible=last > 0),
            gr.Slider(value=run.threshold, visible=True),
            gr.Image(None, visible=run.is_video),
            None,
            gr.DownloadButton(visible=False),
            gr.DownloadButton(visible=False),
        ]

    def draw(self, run: Run | None, moment: float, threshold: float) -> _Updates:
        """A frame with its mask, and what there is to say of it."""
        if run is None:
            return [None, _WAITING]
        frame = run.frame(run.nearest(moment), threshold)
        covers = f"The mask covers {frame.mask.mean():.1%} of the frame, and its score is {frame.score:.2f}."
        told = covers if frame.score else _NOTHING
        if run.is_video:
            told = f"At {frame.time:.2f} s: {told[0].lower()}{told[1:]}"
        return [dimmed(frame.picture, frame.mask), told]

    def write(self, run: Run | None, threshold: float) -> Iterator[_Updates]:
        """What there is to look at and to take home at a threshold, the quickest first."""
        if run is None:
            yield [gr.skip()] * 4
            return
        with _told(run):
            if not run.is_video:
                with _given(run.write_picture(threshold)) as picture, _given(run.write_masks(threshold)) as masks:
                    download = gr.DownloadButton("Download the picture", value=picture, visible=True)
                    yield [gr.skip(), gr.skip(), download, gr.DownloadButton(value=masks, visible=True)]
                return
            with _given(run.write_timeline(threshold)) as timeline:
                yield [str(timeline), *[gr.skip()] * 3]
            with _given(run.write_masks(threshold)) as masks:
                yield [*[gr.skip()] * 3, gr.DownloadButton(value=masks, visible=True)]
            with _given(run.write_video(threshold)) as video:
                download = gr.DownloadButton("Download the video", value=video, visible=True)
                yield [gr.skip(), gr.Video(video), download, gr.skip()]


@contextmanager
def _given(path: Path) -> Iterator[Path]:
    """A result while it is given, for which Gradio copies it to what it serves; afterwards its folder goes."""
    try:
        yield path
    finally:
        shutil.rmtree(path.parent, ignore_errors=True)


def _result() -> tuple[gr.Image, gr.Markdown, list[gr.Slider], list[Any]]:
    """What a visitor gets: a frame, a note of it, the moment and the threshold, and the files."""
    with gr.Tabs():
        with gr.Tab("Frame by frame"):
            shown = gr.Image(
                show_label=False, elem_id="frame", interactive=False, format="jpeg", buttons=["fullscreen"]
            )
            note = gr.Markdown(_WAITING, elem_id="note")
            moment = gr.Slider(0, 1, 0, label="Moment (s)", elem_id="moment", visible=False)
        with gr.Tab("Video"):
            video = gr.Video(show_label=False, elem_id="video", interactive=False)
    threshold = gr.Slider(
        0.05,
        0.95,
        0.5,
        step=0.01,
        label="Threshold",
        info="The probability above which a pixel belongs to the mask. Drag it: the model does not run again.",
        elem_id="threshold",
        visible=False,
    )
    timeline = gr.Image(show_label=False, elem_id="timeline", interactive=False, visible=False, buttons=["download"])
    with gr.Row():
        picture_or_video = gr.DownloadButton("Download the video", elem_id="download", visible=False)
        masks = gr.DownloadButton("Download the masks", elem_id="download-masks", visible=False)
    return shown, note, [moment, threshold], [timeline, video, picture_or_video, masks]


def _glance(frame: FrameMask) -> np.ndarray:
    picture = fit(frame.picture)
    mask = Image.fromarray(frame.mask).resize(picture.shape[1::-1], Image.Resampling.NEAREST)
    return dimmed(picture, np.asarray(mask))


def _progress(frame: FrameMask, seconds: float | None, spent: float) -> str:
    """How far a run has come, and how long it will take where that is known."""
    if not seconds or not frame.time:
        return f"Looking and listening: {frame.time:.1f} s"
    left = spent * max(seconds - frame.time, 0) / frame.time
    return f"Looking and listening: {frame.time:.1f} of {seconds:.1f} s, about {left:.0f} s left"


def _forget(run: Run | None) -> None:
    if run is not None:
        run.forget()


@contextmanager
def _told(run: Run | None = None) -> Iterator[None]:
    """Tells a visitor what went wrong, with the names of files and no folder of the server.

    Of a run that a later one has replaced meanwhile there is nothing to tell.
    """
    try:
        yield
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if run is not None and not run.folder.is_dir():
            return
        message = _PATH.sub(r"'\1'", str(error))
        raise gr.Error(message, duration=30, title="That did not work", print_exception=False) from error
