"""Running a model on a user's own pictures, videos and live streams: what sounds in each frame."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .ahead import Ahead
from .audio import Listener, read_audio, stream_audio, to_mono_16k
from .audio.log_mel import SAMPLING_RATE
from .audio.windows import RULES
from .data.folder import PICTURES
from .data.media import read_picture
from .data.video import VideoReader
from .frames import Frame, frame_at, live_frames, video_frames
from .processor import Picture

if TYPE_CHECKING:
    from .model import SamAV

# Fewer pixels than this share above the threshold count as an empty mask.
EMPTY_SHARE = 0.001

# Frames that are held at most while a batch fills: where the model runs seldom, many pass between two that hear.
_MOST_HELD = 64

Sound = str | Path | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class FrameMask:
    """The mask of what sounds in one frame.

    Attributes:
        time: seconds from the start.
        mask: (H, W) bool, in the frame's own size.
        score: mean probability inside the mask; 0 when it covers less than 0.1 % of the frame.
        logits: (H, W) float32.
        picture: (H, W, 3) uint8, the frame itself.
        carried: whether the mask is that of an earlier frame, since the model did not run on this one.
    """

    time: float
    mask: np.ndarray
    score: float
    logits: np.ndarray
    picture: np.ndarray
    carried: bool = False

    def above(self, threshold: float) -> "FrameMask":
        """The same frame with the mask of another threshold."""
        mask, score = _cut(torch.from_numpy(self.logits), threshold)
        return replace(self, mask=mask, score=score)


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """How masks are made of frames.

    `threshold`, `points`, `point_labels` and `box` hold for all frames; or each is a mapping {seconds: value}, in which
    a value holds from its time on until the next one, and there is none before the first.

    Attributes:
        threshold: probability above which a pixel belongs to the mask; the adapter's own where there is none.
        points: (N, 2) clicks in pixels of the picture, with `point_labels` (N,), 1 on the object and 0 beside it.
        point_labels: see `points`.
        box: (4,) left, top, right, bottom in pixels of the picture.
        smoothing: seconds over which masks are averaged with those before: the weight of a mask falls to 37 % in that
            time. 0 is off.
        batch_size: frames that go through the network together; by default 4 of a video, and 1 of a live stream, where
            nobody waits for those that come later. With a low `mask_fps` they are fewer: no more than 64 frames are
            held while a batch fills.
    """

    threshold: float | Mapping[float, float] | None = None
    points: Any = None
    point_labels: Any = None
    box: Any = None
    smoothing: float = 0.0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            object.__setattr__(self, name, _plain(name, getattr(self, name), shape))
        self._check_labels()
        for limit in self.threshold.values() if isinstance(self.threshold, Mapping) else [self.threshold]:
            if limit is not None and not 0 < limit < 1:
                raise ValueError(f"threshold is a probability between 0 and 1, not {limit}.")
        if not 0 <= self.smoothing < math.inf:
            raise ValueError(f"smoothing is in seconds, 0 for none, not {self.smoothing}.")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size is how many frames run together, at least 1, not {self.batch_size}.")

    def _check_labels(self) -> None:
        """Wherever there are clicks and labels, each click has its own."""
        begun = {begin for each in (self.points, self.point_labels) if isinstance(each, Mapping) for begin in each}
        for time in begun or {0.0}:
            points, labels = _in_force(self.points, time), _in_force(self.point_labels, time)
            if labels is not None and not set(labels) <= {0, 1}:
                raise ValueError(f"A click's label is 1 on the object or 0 beside it, not {labels}.")
            if points is not None and labels is not None and len(points) != len(labels):
                raise ValueError(f"Each click has a label: {len(points)} points do not go with {len(labels)} labels.")


_SHAPES: dict[str, tuple[int | None, ...]] = {
    "threshold": (),
    "points": (None, 2),
    "point_labels": (None,),
    "box": (4,),
}
_FORMS = {
    "threshold": "threshold is one number",
    "points": "points are (N, 2): a click is x, y",
    "point_labels": "point_labels are (N,): one for each click",
    "box": "box is (4,): left, top, right, bottom",
}


def _plain(name: str, value: Any, shape: tuple[int | None, ...]) -> Any:
    """A setting, however it came, as floats in lists of a shape, in which None is any number but 0."""
    if isinstance(value, Mapping):
        return {float(time): _plain(name, each, shape) for time, each in value.items()}
    if value is None:
        return None
    try:
        array = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{_FORMS[name]}, not {value!r}.") from error
    fits = array.ndim == len(shape) and all(
        found > 0 if wanted is None else found == wanted for found, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or not bool(array.isfinite().all()):
        raise ValueError(f"{_FORMS[name]}, not {value!r}.")
    return array.tolist()


def segment(
    model: "SamAV",
    source: str | Path | Picture | Iterable[tuple[np.ndarray, np.ndarray]],
    audio: Sound | None = None,
    *,
    sampling_rate: int = 16_000,
    time: float | None = None,
    fps: float | None = None,
    mask_fps: float | None = None,
    window: str | None = None,
    **settings: Any,
) -> Iterator[FrameMask]:
    """The masks of what sounds: of a picture one, of a video or a live stream one for each frame, as they come.

    Frames are read, and let go of, as the masks are asked for: memory does not grow with the length of a video.

    Args:
        model: the model; its active adapter runs.
        source: a picture (a file, or a PIL image, array (H, W, 3) or tensor (3, H, W)); a video file (mp4, mkv, webm,
            mov, gif and whatever else FFmpeg reads); or a live stream: an iterator of pairs of a picture (H, W, 3) and
            the samples that were played since the one before.
        audio: the sound: a file with an audio track, or a waveform (n,) or (channels, n); by default a video's own.
        sampling_rate: of a waveform, or of a live stream; files know their own.
        time: of a video, only the frame at this time, in seconds; of a picture, its moment in the sound, by default as
            `SamAVProcessor` says.
        fps: frames of a video to look at a second; by default all that it has.
        mask_fps: how often a second the model runs; the frames between carry the mask of the one before. By default it
            runs on every frame.
        window: which sound a frame hears: "example", "centered" or "causal"; by default as the adapter was trained. A
            live stream has only the past, so that it is always "causal".
        **settings: see `MaskSettings`: threshold, points, point_labels, box, smoothing, batch_size.
    """
    chosen = MaskSettings(**settings)
    frames = open_frames(
        model, source, audio, sampling_rate=sampling_rate, time=time, fps=fps, mask_fps=mask_fps, window=window
    )
    return segment_frames(model, frames, chosen)


def open_frames(
    model: "SamAV",
    source: Any,
    audio: Sound | None = None,
    *,
    sampling_rate: int = 16_000,
    time: float | None = None,
    fps: float | None = None,
    mask_fps: float | None = None,
    window: str | None = None,
) -> Iterator[Frame]:
    """The frames of a source with what they hear; the arguments are those of `segment`. Files are opened at once."""
    if model.processor.front_end is None:
        raise ValueError("No audio encoder is loaded, so that nothing can be heard: load one with audio_encoder=...")
    rule, samples = window or model.config.audio_window, model.processor.front_end.window_samples
    if rule not in RULES:
        raise ValueError(f"There is no window rule '{rule}': choose one of {', '.join(RULES)}.")
    if time is not None and not 0 <= time < math.inf:
        raise ValueError(f"time is in seconds from the start, not {time}.")
    if time is not None and (fps is not None or mask_fps is not None):
        raise ValueError("time is of one frame: leave out fps and mask_fps with it.")
    is_file = isinstance(source, (str, Path))
    if is_picture_file(source) if is_file else _is_decoded(source):
        if fps is not None or mask_fps is not None:
            raise ValueError("fps and mask_fps are for videos; a picture is one frame.")
        return iter([_picture_frame(model, source, audio, sampling_rate, time, rule)])
    if is_file:
        video = VideoReader(Path(source))
        listener = Listener(_stream(source if audio is None else audio, sampling_rate), rule, samples)
        if time is not None:
            return iter([frame_at(video, listener, time)])
        return Ahead(video_frames(video, listener, fps=fps, mask_fps=mask_fps), depth=4)
    if isinstance(source, (list, tuple)) or not hasattr(source, "__iter__"):
        raise ValueError(
            "segment takes one picture, a video file, or an iterator of pairs (picture, samples): call it for each "
            "picture, or use the processor and the model for a batch."
        )
    if window not in (None, "causal"):
        raise ValueError(f"A live stream has only the past: its window is 'causal', not '{window}'.")
    if audio is not None or time is not None or fps is not None or mask_fps is not None:
        raise ValueError("A live stream brings its own sound and times: leave out audio, time, fps and mask_fps.")
    return live_frames(source, sampling_rate, samples)


def segment_frames(model: "SamAV", frames: Iterator[Frame], settings: MaskSettings) -> Iterator[FrameMask]:
    """The masks of frames that `open_frames` gave."""
    smoother, last = _Smoother(settings.smoothing), None
    try:
        for batch in _batches(frames, settings.batch_size or (4 if isinstance(frames, Ahead) else 1)):
            logits = _run(model, [frame for frame in batch if frame.window is not None], settings)
            for frame in batch:
                if frame.window is not None:
                    last = _frame_mask(model, frame, smoother(next(logits), frame.time), settings)
                elif last is not None:
                    last = replace(last, time=frame.time, picture=frame.picture, carried=True)
                else:
                    raise ValueError("The first frame has no mask to carry.")
                yield last
    finally:
        if isinstance(frames, Ahead):
            frames.close()


def frame_mask(time: float, picture: Picture, logits: Tensor, threshold: float) -> FrameMask:
    """The mask and score of full-size logits (H, W)."""
    mask, score = _cut(logits, threshold)
    return FrameMask(time, mask, score, logits.numpy(), _to_array(picture))


def is_picture_file(path: str | Path) -> bool:
    """Whether a file is a single picture, by its ending; what it is not is opened as a video."""
    return Path(path).suffix.lower() in (*PICTURES, ".tif", ".tiff")


def _is_decoded(source: Any) -> bool:
    """Whether a source is one picture in memory."""
    return isinstance(source, Image.Image) or getattr(source, "ndim", 0) == 3


def _picture_frame(
    model: "SamAV", source: Any, audio: Sound | None, sampling_rate: int, time: float | None, rule: str
) -> Frame:
    if audio is None:
        raise ValueError("segment needs the sound of the picture: pass a file (--audio) or a waveform as `audio`.")
    waveform = read_audio(audio) if isinstance(audio, (str, Path)) else to_mono_16k(audio, sampling_rate)
    moment = model.processor.moment_of(waveform) if time is None else time
    if moment > len(waveform) / SAMPLING_RATE:
        raise ValueError(f"The sound lasts {len(waveform) / SAMPLING_RATE:.2f} s, so that nothing is at {moment:g} s.")
    front_end = model.processor.front_end
    assert front_end is not None
    listener = Listener([waveform], rule, front_end.window_samples)
    picture = read_picture(Path(source)) if isinstance(source, (str, Path)) else source
    return Frame(moment, picture, listener.windows([moment])[0])


def _stream(audio: Sound, sampling_rate: int) -> Iterator[Tensor]:
    if isinstance(audio, (str, Path)):
        return stream_audio(audio)
    return iter([to_mono_16k(audio, sampling_rate)])


# --------------------------------------------------------------------------------------------------------- the masks


def _batches(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    """Frames in lists, of which `size` hear something; those that carry a mask come on the way, and wait for none.

    Where the source breaks off, the error comes after the frames before it.
    """
    batch: list[Frame] = []
    try:
        for frame in frames:
            if frame.window is None and not batch:
                yield [frame]  # its mask is there already
                continue
            batch.append(frame)
            if sum(each.window is not None for each in batch) == size or len(batch) == max(size, _MOST_HELD):
                yield batch
                batch = []
    except ValueError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _run(model: "SamAV", frames: list[Frame], settings: MaskSettings) -> Iterator[Tensor]:
    """The logits (S / 4, S / 4) of frames; those under the same clicks and box run together."""
    prompts = (settings.points, settings.point_labels, settings.box)
    for _, group in groupby(frames, lambda frame: [id(_in_force(prompt, frame.time)) for prompt in prompts]):
        alike = list(group)
        points, labels, box = (_in_force(prompt, alike[0].time) for prompt in prompts)
        inputs = model.processor(
            [frame.picture for frame in alike],
            input_points=None if points is None else [points] * len(alike),
            input_labels=None if points is None or labels is None else [labels] * len(alike),
            input_boxes=None if box is None else [box] * len(alike),
        )
        front_end = model.processor.front_end
        assert front_end is not None
        inputs["audio"] = front_end(torch.stack([frame.window for frame in alike if frame.window is not None]))
        with torch.inference_mode():
            logits = model(**inputs.to(model.device)).mask_logits.cpu()
        yield from logits.unbind()


def _in_force(setting: Any, time: float) -> Any:
    """What a setting is at a time."""
    if not isinstance(setting, Mapping):
        return setting
    begun = [begin for begin in setting if begin <= time]
    return setting[max(begun)] if begun else None


class _Smoother:
    """An average of logits over the frames up to each one, in which the past counts less the longer it is ago."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before: tuple[Tensor, float] | None = None

    def __call__(self, logits: Tensor, time: float) -> Tensor:
        if self._seconds and self._before is not None:
            past, moment = self._before
            weight = math.exp((moment - time) / self._seconds)
            logits = weight * past + (1 - weight) * logits
        self._before = (logits, time)
        return logits


def _frame_mask(model: "SamAV", frame: Frame, logits: Tensor, settings: MaskSettings) -> FrameMask:
    picture = _to_array(frame.picture)
    (full,) = model.processor.post_process_masks(logits[None], [picture.shape[:2]], binarize=False)
    threshold = _in_force(settings.threshold, frame.time)
    return frame_mask(frame.time, picture, full, model.config.threshold if threshold is None else threshold)


def _cut(logits: Tensor, threshold: float) -> tuple[np.ndarray, float]:
    """The mask (H, W) of logits (H, W), and its score."""
    mask = logits > math.log(threshold / (1 - threshold))
    enough = mask.count_nonzero().item() >= EMPTY_SHARE * mask.numel()
    return mask.numpy(), logits[mask].sigmoid().mean().item() if enough else 0.0


def _to_array(picture: Picture) -> np.ndarray:
    """A picture in any form -> (H, W, 3) uint8."""
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    pixels = picture.cpu().numpy().transpose(1, 2, 0) if isinstance(picture, Tensor) else picture
    return pixels if pixels.dtype == np.uint8 else (255 * pixels).round().astype(np.uint8)
