"""What the headers and the ends of pictures, sounds and videos tell of them; of a video one frame is decoded, too.

Each function returns None where they tell too little or look damaged: then only decoding it all shows what it is worth.
"""

import io
import wave
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import ExifTags, Image

_LAST_BYTES = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
"""What whole pictures end in; neither can stand in the compressed data of one that is cut off."""

_TAIL = 1.0
"""Seconds before the end of a video in which its packets are looked at."""

_CUT_SHORT = 0.95
"""The share of its declared length that a video must reach; lengths are estimates in some formats."""


@dataclass(frozen=True)
class VideoHeader:
    """What is known of a video of which one frame was decoded.

    Attributes:
        size: (height, width) of its frames as the camera was held; None without pictures.
        picture_end: the end of its last frame in seconds.
        sound_end: the end of its sound in seconds; None without an audio track.
    """

    size: tuple[int, int] | None
    picture_end: float
    sound_end: float | None


def picture_size(path: Path) -> tuple[int, int] | None:
    """The (height, width) of a PNG or JPEG as it is meant to be looked at."""
    try:
        with path.open("rb") as file:
            image = Image.open(file)
            # Asking a PNG without EXIF for it would decode the whole picture.
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if "exif" in image.info else 1
            file.seek(-min(32, file.seek(0, io.SEEK_END)), io.SEEK_END)
            if image.format not in _LAST_BYTES or _LAST_BYTES[image.format] not in file.read():
                return None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return (image.width, image.height) if orientation >= 5 else (image.height, image.width)


def sound_seconds(path: Path) -> float | None:
    """The length of a sound, or of the audio track of a video."""
    if path.suffix.lower() == ".wav":  # FFmpeg takes thirty times as long, and takes no notice of a wav that is cut off
        return _wav_seconds(path)
    header = video_header(path)
    return header.sound_end if header else None


def video_header(path: Path) -> VideoHeader | None:
    """The size and the length of a video, whose last packets must be there."""
    try:
        with av.open(path) as container:
            if not container.duration:
                return None
            picture, sound = container.streams.best("video"), container.streams.best("audio")
            start, length = max(container.start_time or 0, 0) / av.time_base, container.duration / av.time_base
            size = _upright_size(next(container.decode(picture))) if picture else None
            container.seek(round((start + max(length - _TAIL, 0)) * av.time_base))
            ends: dict[str, float] = {}
            for packet in container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base) - start
                    ends[packet.stream.type] = max(ends.get(packet.stream.type, 0.0), end)
            if max(ends.values(), default=0.0) < _CUT_SHORT * length:
                return None
            return VideoHeader(
                size=size,
                picture_end=ends.get("video", 0.0),
                sound_end=ends.get("audio", length) if sound else None,
            )
    except (OSError, StopIteration, av.FFmpegError):
        return None


def _upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """The (height, width) of a frame as its camera was held, which the header of a video does not tell."""
    return (frame.width, frame.height) if round(frame.rotation / 90) % 2 else (frame.height, frame.width)


def _wav_seconds(path: Path) -> float | None:
    try:
        with wave.open(str(path), "rb") as file:
            size = file.getnframes() * file.getsampwidth() * file.getnchannels()
            whole = 0 < size <= path.stat().st_size
            return file.getnframes() / file.getframerate() if whole else None
    except (OSError, EOFError, wave.Error):  # wave.Error is also that of samples that are not whole numbers
        return None
