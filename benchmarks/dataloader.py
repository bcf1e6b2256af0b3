"""How fast training samples come from the disk: decoded, resized, with log-mels. `python benchmarks/dataloader.py`."""

import argparse
import tempfile
import time
from pathlib import Path

import bench
from torch.utils.data import DataLoader

from sam_av.audio import load_front_end
from sam_av.config import SamAVConfig
from sam_av.data import Scenes, open_dataset, write_dataset
from sam_av.processor import SamAVProcessor
from sam_av.samples import ClipSamples, SampleMaker, collate

LAYOUTS = {
    "avsbench-s4": "AVSBench S4: PNG frames and masks, WAV",
    "folder": "folder: lossless H.264 videos with their sound, PNG masks",
    "hub": "Parquet shards, as on the Hub",
}
FRAMES = 5


def sources(folder: Path, clips: int, frame_size: int) -> dict[str, Path]:
    """The same clips in each layout."""
    scenes = Scenes(size=frame_size, frames=FRAMES, length=clips, split="val", sources=(1, 1), silence=0, absent=0)
    return {layout: write_dataset(scenes, folder / layout, layout) for layout in LAYOUTS}


def frames_a_second(source: Path, layout: str, image_size: int, workers: int) -> float:
    """Frames that a DataLoader hands out in a second, its workers' start not counted."""
    config = SamAVConfig(image_size=image_size)
    maker = SampleMaker(SamAVProcessor(config, load_front_end(config.audio_encoder)), frames_per_clip=FRAMES)
    clips = open_dataset(source, "val", layout=layout)
    samples = ClipSamples(clips, maker)
    loader = DataLoader(samples, batch_size=1, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0)
    for _ in loader:  # starts the workers, and brings the files into the page cache
        pass
    begin = time.perf_counter()
    frames = sum(len(batch["frames"]) for batch in loader)
    return frames / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frame-size", type=int, default=720, help="pixels of the frames on the disk")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 256], help="pixels of the model's input")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for layout, source in sources(Path(folder), options.clips, options.frame_size).items():
            for size in options.sizes:
                rates = [frames_a_second(source, layout, size, workers) for workers in options.workers]
                rows.append([LAYOUTS[layout], size, *(f"{rate:.0f}" for rate in rates)])
    head = ["layout", "input, px", *(f"frames a second, {workers} workers" for workers in options.workers)]
    bench.write(
        "dataloader-cpu",
        f"# Training samples from the disk\n\n{bench.machine('cpu')}. {options.clips} clips of {FRAMES} frames of "
        f"{options.frame_size} px, in the page cache; a sample is normalised pixels, log-mels and masks at the input's "
        f"size. With 0 workers the training process itself decodes.\n\n{bench.table(head, rows)}",
    )


if __name__ == "__main__":
    main()
