"""What reading and writing a video costs beside the model, and the memory it takes: `python benchmarks/video.py`.

A film is generated, 720p with sound, and segmented by the tiny adapter of the demo. Table: results/video-<device>.md.
"""

import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import bench
import numpy as np
import psutil
import torch
from PIL import Image
from tqdm import tqdm

from sam_av import SamAV
from sam_av.data import Scenes, SceneSettings
from sam_av.data.video_writer import VideoWriter
from sam_av.film.run import segment_to_folder
from sam_av.predict import MaskSettings, open_frames, segment_frames

SIZE = (1280, 720)
MODES = {"every frame": {}, "1 mask a second, carried": {"mask_fps": 1}}
NOTES = """\
{machine}. A film of {width} x {height} pixels, {fps} frames a second, with sound. The model is `builtin:demo-sama`, a
SAM that sees 128 px: the smallest that there is, so that what stands around it weighs the most. Batches of {batch}.

When it began, {load:.1f} processes wanted the machine's {cores} cores; an idle machine has 0.

"Model alone" has the frames in memory: preparing them, the sound's spectrogram, the networks, masks in the film's size.
"All" is `sam-av segment`: decoding, the same, drawing, H.264 and AAC, mask rows, timeline. Seconds of wall time and of
CPU time, medians of {repeats} runs in turn over {seconds:g} s of film. Decoding, drawing and encoding run in threads
beside the model; the overhead is the wall time that they add.

"""


def make_film(path: Path, seconds: float, fps: int) -> None:
    """A drawn scene that moves over a larger, grained background, as a camera would see it."""
    scene = Scenes(replace(SceneSettings.demo(size=256), frames=64), split="test").scene(1)
    rng = np.random.default_rng(0)
    still = [np.asarray(Image.fromarray(frame).resize((720, 720))) for frame in scene.frames]
    ground = rng.normal(110, 6, (SIZE[1], SIZE[0] + 400, 3)).clip(0, 255).astype(np.uint8)
    sound = np.resize(scene.clip().waveform, round(seconds * 16_000))
    with VideoWriter(path, fps, sound) as video:
        for k in tqdm(range(round(seconds * fps)), "Making the film", unit="frame"):
            shift = k % 400
            picture = ground[:, shift : shift + SIZE[0]].copy()
            picture[:, 280:1000] = still[k // 3 % len(still)]
            video.write(picture)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of this process's CPU time."""
    gc.collect()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def run_model(model: SamAV, path: Path, batch: int, options: dict[str, float]) -> Callable[[], object]:
    frames = [frame for frame in open_frames(model, path, **options) if frame.window is not None]
    return lambda: [None for _ in segment_frames(model, iter(frames), MaskSettings(batch_size=batch))]


def run_all(model: SamAV, path: Path, folder: Path, batch: int, options: dict[str, float]) -> None:
    segment_to_folder(model, path, folder, overwrite=True, show_progress=False, batch_size=batch, **options)


def measure_overhead(model: SamAV, path: Path, work: Path, batch: int, repeats: int) -> list[list[object]]:
    rows = []
    for name, options in MODES.items():
        alone = run_model(model, path, batch, options)
        runs = {"alone": alone, "all": lambda options=options: run_all(model, path, work / "out", batch, options)}
        times = {key: [] for key in runs}
        for _ in range(repeats):
            for key, call in runs.items():
                times[key].append(timed(call))
        wall, cpu = ({key: median(run[k] for run in values) for key, values in times.items()} for k in (0, 1))
        overhead = f"{100 * (wall['all'] / wall['alone'] - 1):.0f} %"
        shown = [f"{seconds:.1f}" for seconds in (wall["alone"], wall["all"], cpu["alone"], cpu["all"])]
        rows.append([name, *shown[:2], overhead, *shown[2:]])
    return rows


def measure_memory(model: SamAV, path: Path, work: Path, batch: int, options: dict[str, float]) -> list[float]:
    """MiB that the process holds at most in each quarter of a run over the film."""
    process, done, samples = psutil.Process(), threading.Event(), []

    def watch() -> None:
        while not done.wait(0.1):
            samples.append(process.memory_info().rss / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_all(model, path, work / "long", batch, options)
    finally:
        done.set()
        watcher.join()
    return [max(part) for part in np.array_split(samples, 4)]


def main() -> None:
    parser = bench.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of film, for the times")
    parser.add_argument("--minutes", type=float, default=10, help="of film, for the memory; 0 leaves it out")
    parser.add_argument("--fps", type=int, default=25)
    parser.set_defaults(batch=4, repeats=3)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    model = SamAV.from_pretrained("builtin:demo-sama", device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_film(work / "short.mp4", options.seconds, options.fps)
        rows = measure_overhead(model, work / "short.mp4", work, options.batch, options.repeats)
        memory = ""
        if options.minutes:
            make_film(work / "long.mp4", 60 * options.minutes, options.fps)
            quarters = measure_memory(model, work / "long.mp4", work, options.batch, MODES["1 mask a second, carried"])
            held = ", ".join(f"{most:.0f}" for most in quarters)
            memory = f"\n\nOver {options.minutes:g} minutes the process held at most {held} MiB in each quarter."
    head = ["mode", "model alone, s", "all, s", "overhead", "model alone, CPU s", "all, CPU s"]
    notes = NOTES.format(
        machine=bench.machine(options.device),
        width=SIZE[0],
        height=SIZE[1],
        fps=options.fps,
        batch=options.batch,
        repeats=options.repeats,
        seconds=options.seconds,
        load=load,
        cores=os.cpu_count(),
    )
    text = f"# A video in, masks out: the cost around the model\n\n{notes}{bench.table(head, rows)}{memory}"
    bench.write(f"video-{torch.device(options.device).type}", text)


if __name__ == "__main__":
    main()
