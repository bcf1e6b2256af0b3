"""Small films with sound, in the containers and codecs that people have."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 10


def picture(number: int, height: int = 48, width: int = 80) -> np.ndarray:
    """A frame that tells its number: a bright square on a grey ground moves to the right."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    left = 3 * number % (width - 16)
    pixels[16:32, left : left + 16] = (250, 200, 40)
    return pixels


def tone(seconds: float, rate: int = 16_000) -> np.ndarray:
    """A rising tone (n,) float32, so that no two windows are alike."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (300 + 60 * time) * time)).astype(np.float32)


def save_film(
    path: Path,
    frames: int = 20,
    *,
    times: list[float] | None = None,
    codec: str = "libx264",
    sound: str | None = "aac",
    seconds: float | None = None,
    rate: int = 44_100,
    size: tuple[int, int] = (48, 80),
    turn: int = 0,
    form: str = "yuv420p",
    **options: str,
) -> Path:
    """Writes `frames` pictures, ten a second or at `times`, and a stereo tone as long as they last, or of `seconds`."""
    times = [k / FPS for k in range(frames)] if times is None else times
    seconds = times[-1] + 1 / FPS if seconds is None else seconds
    with av.open(path, "w", options=options) as container:
        video = container.add_stream(codec, rate=FPS, height=size[0], width=size[1], pix_fmt=form)
        video.codec_context.time_base = Fraction(1, 1000)
        if turn:
            video.set_display_rotation(turn)
        track = None if sound is None else container.add_stream(sound, rate=rate, layout="stereo")
        packets = []
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 1000), round(1000 * time)
            packets += video.encode(frame)
        packets += video.encode()
        if track is not None:
            frame = av.AudioFrame.from_ndarray(np.stack([tone(seconds, rate)] * 2), format="fltp", layout="stereo")
            frame.rate, frame.pts = rate, 0
            packets += [*track.encode(frame), *track.encode()]
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            container.mux(packet)
    return path
