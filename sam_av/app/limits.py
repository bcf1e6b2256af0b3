"""What the page takes: how large and how long files may be, and that they are media and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import Image

from ..audio import stream_audio
from ..audio.log_mel import SAMPLING_RATE
from ..data.media import PICTURE_FORMATS

# FFmpeg also reads lists of other files (HLS, concat, SDP, image sequences): an upload of that kind would read what
# else lies on the server, or on its network. So the page opens containers that hold their media themselves only.
_CONTAINERS = "mov,matroska,webm,avi,gif,mpeg,mpegts,ogg,flv,asf,wav,w64,aiff,mp3,flac,aac,amr,caf"
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}

MEGABYTE = 2**20
"""As Gradio counts, which refuses most of what is too large while it is uploaded."""

_VIDEO_PIXELS, _PICTURE_PIXELS = 4096 * 2304, 64_000_000


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for.

    Attributes:
        seconds: how long a video or a sound may be.
        megabytes: how large a file may be.
        masks: how many frames of a video the model may run on.
        waiting: how many visitors may wait in the queue.
    """

    seconds: float = 60
    megabytes: float = 100
    masks: int = 1000
    waiting: int = 20

    def __post_init__(self) -> None:
        for name in ("seconds", "megabytes", "masks", "waiting"):
            if getattr(self, name) <= 0:
                raise ValueError(f"A limit of {name} is more than 0, not {getattr(self, name)}.")

    def check_video(self, path: Path) -> float | None:
        """Raises where the page does not take a video; gives how long it says it is, in seconds."""
        with self._opened(path, "video") as container:
            if not container.streams.video:
                raise ValueError(f"'{path}' has no picture: it holds sound alone. Give it as the sound of a picture.")
            stream = container.streams.video[0]
            width, height = stream.width or 0, stream.height or 0
            if width * height > _VIDEO_PIXELS:
                raise ValueError(f"'{path}' is {width} x {height} pixels: scale it down, to 1920 x 1080 for example.")
            seconds = container.duration / av.time_base if container.duration else None
        if seconds is not None:
            self.check_length(path, seconds)
        return seconds

    def check_sound(self, path: Path) -> None:
        """Raises where the page does not take the sound of a file."""
        with self._opened(path, "sound") as container:
            if not container.streams.audio:
                raise ValueError(f"'{path}' has no sound.")
        heard = 0
        for part in stream_audio(path):  # what a file says of its length may be wrong
            heard += len(part)
            self.check_length(path, heard / SAMPLING_RATE)

    def check_picture(self, path: Path) -> None:
        """Raises where the page does not take a picture; that it can be decoded shows when it is."""
        self._check_size(path)
        try:
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                width, height = picture.size
        except OSError as error:
            raise ValueError(f"'{path}' cannot be read as a picture: it is broken or none.") from error
        if width * height > _PICTURE_PIXELS:
            raise ValueError(f"'{path}' is {width} x {height} pixels: scale it down.")

    def check_length(self, path: Path, seconds: float) -> None:
        """Raises where a video or a sound is longer than the page takes."""
        if seconds > self.seconds + 0.5:
            raise ValueError(
                f"'{path}' lasts {seconds:.0f} s or more, and this page takes up to {self.seconds:g} s: cut it, or "
                "run `sam-av segment`, which takes any length."
            )

    def check_masks(self, seconds: float | None, rate: float) -> None:
        """Raises where a video would take more masks than the page makes."""
        if seconds is not None and seconds * rate > self.masks:
            raise ValueError(
                f"{seconds:.0f} s with {rate:g} masks a second are more than the {self.masks:,} masks that this page "
                "makes of a video: choose fewer a second."
            )

    def _check_size(self, path: Path) -> None:
        if (size := path.stat().st_size / MEGABYTE) > self.megabytes:
            raise ValueError(f"'{path}' has {size:.0f} MB, and this page takes up to {self.megabytes:g} MB.")

    @contextmanager
    def _opened(self, path: Path, what: str) -> Iterator[av.container.InputContainer]:
        self._check_size(path)
        try:
            container = av.open(str(path), options=_OPTIONS)
        except av.FFmpegError as error:
            raise ValueError(
                f"'{path}' cannot be read as a {what}: it is broken, cut off, or of a kind that this page does not "
                "take. Play it on your own machine, and save it as MP4 or WAV."
            ) from error
        with container:
            yield container
