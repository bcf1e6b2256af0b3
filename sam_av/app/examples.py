"""A video and sounds to try the page with: drawn scenes, made when the page starts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from ..data.clip import SAMPLE_RATE
from ..data.video_writer import VideoWriter
from ..demo import FPS, change_sound, draw_scene

_FIRST, _SECOND, _OTHER, _ABSENT = "bell", "bee", "kettle", "dog"


@dataclass(frozen=True)
class Example:
    """A video, and the sound to swap in, if any."""

    label: str
    video: Path
    sound: Path | None


def write_examples(folder: Path) -> list[Example]:
    """Writes the examples into a folder: one video, as it is and with three other sounds."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = draw_scene()
    clip = change_sound(scene, _FIRST, _SECOND)
    video = folder / f"{_FIRST}-then-{_SECOND}.mp4"
    with VideoWriter(video, FPS, clip.waveform) as writer:
        for frame in clip.frames:
            writer.write(frame)
    sounds = {
        f"the same with the sound of a {_OTHER}": (_OTHER, scene.sound(_OTHER)),
        f"of a {_ABSENT}, which is not there": (_ABSENT, scene.absent(_ABSENT).waveform),
        "in silence": ("silence", np.zeros_like(clip.waveform)),
    }
    examples = [Example(f"A {_FIRST}, then a {_SECOND}", video, None)]
    for label, (name, waveform) in sounds.items():
        path = folder / f"{name}.wav"
        wavfile.write(path, SAMPLE_RATE, (32_767 * waveform[: len(clip.waveform)].clip(-1, 1)).astype(np.int16))
        examples.append(Example(label, video, path))
    return examples
