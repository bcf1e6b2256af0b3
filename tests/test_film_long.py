"""Films of ten minutes and of two hours: memory stays flat, all frames are there, and the sound stays beside them."""

import json
import threading

import av
import numpy as np
import psutil
import pytest

from sam_av import SamAV
from sam_av.audio import frame_windows
from sam_av.audio.decode import SoundPart
from sam_av.data.video_writer import VideoWriter
from sam_av.film.run import segment_to_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]
ALLOWED = 60
"""MiB by which the memory of later quarters of a run may exceed that of the first: caches that fill, and chance."""


def seconds_of_sound(count, rate=16_000):
    """A tone that rises through every minute, a second at a time."""
    for second in range(count):
        time = second % 60 + np.arange(rate) / rate
        yield SoundPart((0.3 * np.sin(2 * np.pi * (200 + 20 * time) * time)).astype(np.float32)[None], rate)


def make_film(path, seconds, fps, size):
    """A bright square wanders over a grained ground."""
    height, width = size
    ground = np.random.default_rng(0).normal(110, 6, (height, width + 200, 3)).clip(0, 255).astype(np.uint8)
    side = height // 4
    with VideoWriter(path, fps, seconds_of_sound(seconds)) as video:
        for k in range(seconds * fps):
            picture = ground[:, k % 200 : k % 200 + width].copy()
            left = 7 * k % (width - side)
            picture[side : 2 * side, left : left + side] = (250, 200, 40)
            video.write(picture)
    return path


def quarters_of_memory(run):
    """The most MiB that this process holds in each quarter of a run."""
    process, done, samples = psutil.Process(), threading.Event(), []

    def watch():
        while not done.wait(0.05):
            samples.append(process.memory_info().rss / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return [max(part) for part in np.array_split(samples, 4)]


@pytest.mark.parametrize(
    ("seconds", "fps", "size", "options"),
    [(600, 4, (720, 1280), {"mask_fps": 1}), (7_200, 2, (96, 128), {"mask_fps": 0.1})],
    ids=["ten minutes of 720p", "two hours"],
)
def test_memory_is_flat(tmp_path, seconds, fps, size, options):
    path = make_film(tmp_path / "film.mp4", seconds, fps, size)
    model = SamAV.from_pretrained("builtin:demo-sama", device="cpu")
    quarters = quarters_of_memory(
        lambda: segment_to_folder(model, path, tmp_path / "out", show_progress=False, **options)
    )
    print(f"MiB in each quarter: {[round(most) for most in quarters]}")
    assert max(quarters[1:]) < quarters[0] + ALLOWED
    rows = [json.loads(line) for line in (tmp_path / "out" / "masks.jsonl").open()]
    assert len(rows) == seconds * fps
    assert sum(not row["carried"] for row in rows) == pytest.approx(seconds * options["mask_fps"], abs=1)
    with av.open(tmp_path / "out" / "overlay.mp4") as container:
        video, track = container.streams.video[0], container.streams.audio[0]
        assert video.frames == seconds * fps
        assert float(video.duration * video.time_base) == pytest.approx(seconds, abs=0.1)
        assert float(track.duration * track.time_base) == pytest.approx(seconds, abs=0.2)


def test_the_last_frame_of_two_hours_hears_what_it_should(tmp_path):
    """Two hours in, frames are still beside their sound."""
    path = make_film(tmp_path / "film.mp4", 7_200, 1, (32, 32))
    model = SamAV.from_pretrained("builtin:demo-sama", device="cpu")
    (late,) = model.segment(path, time=7_190, window="centered")
    minute = np.concatenate([part.samples[0] for part in seconds_of_sound(60)])
    window = frame_windows(minute, [50.0], "centered")[0].numpy()
    (alone,) = model.segment(late.picture, window, time=len(window) / 32_000, window="centered")
    assert np.abs(late.logits - alone.logits).max() < 0.1 * np.abs(alone.logits).max(), "but for what AAC does to it"
