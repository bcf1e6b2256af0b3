"""What the writers of all layouts share: one file each of sound, picture, mask, video and table."""

import csv
import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from .clip import SAMPLE_RATE, Clip


def write_waveform(path: Path, waveform: np.ndarray) -> None:
    """Writes a waveform (n,) as a wav of 16 bits."""
    _with_folder(path).write_bytes(encode_wav(waveform))


def encode_wav(waveform: np.ndarray) -> bytes:
    """What a wav of 16 bits with this waveform (n,) holds."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, len(waveform), "NONE", "not compressed"))
        file.writeframes(to_pcm(waveform).astype("<i2").tobytes())
    return buffer.getvalue()


def to_pcm(waveform: np.ndarray) -> np.ndarray:
    """A waveform (n,) in whole steps of 16 bits, int16."""
    return (waveform * 32_768).round().clip(-32_768, 32_767).astype(np.int16)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes a frame (H, W, 3), a mask (H, W) bool or class ids (H, W) uint8, as the path's ending says."""
    pixels = np.where(picture, 255, 0).astype(np.uint8) if picture.dtype == bool else picture
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(pixels).save(_with_folder(path), **options)


def write_video(path: Path, clip: Clip) -> None:
    """Writes the frames and the sound of a clip without loss, as an mkv (FFV1 and PCM). Times are kept to 1 ms."""
    with av.open(_with_folder(path), "w") as container:
        video = container.add_stream("ffv1", rate=1000)
        video.height, video.width = clip.frames.shape[1:3]
        video.pix_fmt = "bgr0"
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for picture, time in zip(clip.frames, clip.times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = round(time * 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(to_pcm(clip.waveform)[None], format="s16", layout="mono")
        sound.rate, sound.pts = SAMPLE_RATE, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode())


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Writes a CSV file with a header."""
    with _with_folder(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def file_name(clip: Clip) -> str:
    """The id of a clip, which must be fit to name a file."""
    if Path(clip.id).name != clip.id:
        raise ValueError(f"The id {clip.id!r} cannot name a file: write clips whose ids have no slashes.")
    return clip.id


def split_of(clip: Clip) -> str:
    """The split of a clip, where a layout needs one."""
    if clip.split is None:
        raise ValueError(f"Clip {clip.id!r} belongs to no split, and this layout needs one: replace(clip, split=...).")
    return clip.split


def category_of(clip: Clip) -> str:
    """The class of a clip, where a layout needs one."""
    if clip.category is None:
        raise ValueError(
            f"Clip {clip.id!r} has no category, and this layout is of one source a clip. For scenes, ask for "
            "sources=(1, 1), silence=0, absent=0."
        )
    return clip.category


def check_seconds(clip: Clip, *lengths: int) -> None:
    """Raises unless the frames of a clip are one a second from 0 on, and as many as the layout has."""
    if not np.array_equal(clip.times, np.arange(len(clip))) or (lengths and len(clip) not in lengths):
        count = " or ".join(map(str, lengths)) or "any number of"
        raise ValueError(
            f"Clip {clip.id!r} cannot be written: this layout holds {count} frames, one a second from 0 on; it has "
            f"them at {clip.times.tolist()}."
        )


def _with_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
