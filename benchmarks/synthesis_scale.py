"""How long a synthesis takes at the size of the real sets: `python benchmarks/synthesis_scale.py`.

Indexes an annotation file of LVIS's size (1.2 million outlines), and writes 10,000 triplets with masks of 640 px, both
from generated sources. The table goes to results/synthesis-scale.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench
import numpy as np
from PIL import Image

from sam_av.data.writing import encode_wav
from sam_av.synthesis import CategoryMap, SynthesisRecipe, synthesize
from sam_av.synthesis.coco import LvisPictures

HEIGHT, WIDTH = 480, 640
CATEGORIES = 1203
THINGS_PER_PICTURE = 12
CORNERS = (8, 88)
"""Of a polygon, from fewest to most: with these an outline takes as many bytes as the mean one in LVIS, about 850."""


def write_annotations(path: Path, annotations: int, pictures: Path | None = None) -> None:
    """An annotation file in LVIS's form, its annotations first; with `pictures`, their files, too, in train2017/."""
    rng = np.random.default_rng(0)
    linked = [name for c in CategoryMap.load("builtin").categories.values() for name in c.pictures.get("lvis", ())]
    names = (linked + [f"other_{k}" for k in range(CATEGORIES)])[:CATEGORIES]
    outlines = [_outline(rng) for _ in range(2000)]
    images = -(-annotations // THINGS_PER_PICTURE)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "generated"}, "annotations": [')
        choices, classes = rng.integers(len(outlines), size=annotations), rng.integers(CATEGORIES, size=annotations)
        for k in range(annotations):
            polygon, area, box = outlines[choices[k]]
            file.write(
                f'{", " if k else ""}{{"area": {area}, "id": {k + 1}, "segmentation": [{polygon}], '
                f'"image_id": {k // THINGS_PER_PICTURE + 1}, "bbox": {box}, "category_id": {classes[k] + 1}}}'
            )
        records = (
            {
                "id": k, "width": WIDTH, "height": HEIGHT, "license": 1, "neg_category_ids": [1, 2, 3],
                "coco_url": f"http://images.cocodataset.org/train2017/{k:012d}.jpg", "not_exhaustive_category_ids": [],
            }
            for k in range(1, images + 1)
        )  # fmt: skip
        file.write('], "images": [' + ", ".join(map(json.dumps, records)))
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(names)]
        file.write(f'], "licenses": [], "categories": {json.dumps(categories)}}}')
    if pictures is not None:
        _write_pictures(pictures / "train2017", images, rng)


def _outline(rng: np.random.Generator) -> tuple[str, float, list[float]]:
    """A polygon as text, its area and its box."""
    corners = int(rng.integers(*CORNERS))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(40, 200) * rng.uniform(0.7, 1.0, corners)
    x = (WIDTH / 2 + radius * np.cos(angles)).round(2)
    y = (HEIGHT / 2 + radius * np.sin(angles)).round(2)
    area = round(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2, 2)
    box = [float(x.min()), float(y.min()), round(float(np.ptp(x)), 2), round(float(np.ptp(y)), 2)]
    return json.dumps(np.stack([x, y], axis=1).ravel().tolist()), area, box


def _write_pictures(folder: Path, count: int, rng: np.random.Generator) -> None:
    """JPEGs that differ by a comment only, which is enough to make them different files."""
    folder.mkdir(parents=True)
    draft = folder / "draft.jpg"
    small = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(draft, quality=90)
    content = draft.read_bytes()
    draft.unlink()
    for k in range(1, count + 1):
        comment = f"picture {k:012d}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / f"{k:012d}.jpg").write_bytes(content[:2] + segment + content[2:])


def write_sounds(root: Path, clips: int) -> None:
    """A VGGSound of so many three-second clips of each label that the map links with LVIS."""
    rng = np.random.default_rng(1)
    (root / "clips").mkdir(parents=True)
    lines = []
    for category in CategoryMap.load("builtin").categories.values():
        for k in range(clips if "lvis" in category.pictures else 0):
            name = f"v{len(lines):010d}"
            noise = rng.normal(0, 0.1, 3 * 16_000).astype(np.float32)
            (root / "clips" / f"{name}_{k:06d}.wav").write_bytes(encode_wav(noise))
            lines.append(f'{name},{k},"{category.sounds["vggsound"][0]}",train\n')
    (root / "vggsound.csv").write_text("".join(lines))


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure_index(path: Path, images: Path) -> dict[str, float]:
    """Indexes an annotation file and takes out its linked things: seconds, processor time, peak memory in MiB."""
    begin, used = time.perf_counter(), processor_seconds()
    source = LvisPictures(str(path), str(images))
    category_map = CategoryMap.load("builtin")
    source.things(lambda name: category_map.of_picture("lvis", name) is not None)
    return {
        "seconds": time.perf_counter() - begin,
        "processor": processor_seconds() - used,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def index_in_fresh_process(path: Path, images: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--index", str(path), str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_writing(folder: Path, triplets: int, workers: int) -> dict[str, float]:
    """A synthesis of so many triplets: seconds, processor time of all processes, and how many it made."""
    # One thing in ten is linked, and of a category in a picture one is taken.
    write_annotations(folder / "lvis.json", 14 * triplets, folder / "images")
    sounds = folder / "sounds"
    write_sounds(sounds, 20)
    recipe = SynthesisRecipe(
        pictures=[{"kind": "lvis", "annotations": str(folder / "lvis.json"), "images": str(folder / "images")}],
        sounds=[{"kind": "vggsound", "table": str(sounds / "vggsound.csv"), "clips": str(sounds / "clips")}],
        splits={"train": round(0.84 * triplets), "validate": round(0.08 * triplets), "test": round(0.08 * triplets)},
        output=str(folder / "synthetic"),
        workers=workers,
    )
    begin, used = time.perf_counter(), processor_seconds()
    report = synthesize(recipe)
    times = {"seconds": time.perf_counter() - begin, "processor": processor_seconds() - used}
    return {**times, "made": sum(report.made.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=int, default=1_200_000)
    parser.add_argument("--triplets", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--index", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.index:
        print(json.dumps(measure_index(*options.index)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "none").mkdir()
        write_annotations(folder / "large.json", options.annotations)
        size = (folder / "large.json").stat().st_size / 2**20
        index = index_in_fresh_process(folder / "large.json", folder / "none")
        (folder / "large.json").unlink()
        writing = measure_writing(folder, options.triplets, options.workers)
    rows = [
        [
            f"index {options.annotations:,} annotations, {size:,.0f} MiB, and take out the linked things",
            f"{index['seconds']:.0f} s",
            f"{index['processor']:.0f} s",
            f"{index['memory']:,.0f} MiB",
        ],
        [
            f"synthesize {writing['made']:,} triplets, masks of 640 x 480, {options.workers} workers",
            f"{writing['seconds']:.0f} s",
            f"{writing['processor']:.0f} s",
            "-",
        ],
    ]
    load = os.getloadavg()[0]
    bench.write(
        "synthesis-scale",
        f"# Synthesis at the size of the real sets\n\n{bench.machine('cpu')}, {os.cpu_count()} cores, on which "
        f"{load:.0f} processes wanted to run. Processor time is that of all processes of the work. Indexing takes one "
        "process, from an annotation file in LVIS's form; the memory is its peak. The synthesis is from start to "
        "end, from annotations, JPEGs and wavs to a data set in the layout of AVS-Synthetic whose pictures and sounds "
        "are links. Sources are generated.\n\n" + bench.table(["work", "time", "processor time", "peak memory"], rows),
    )


if __name__ == "__main__":
    main()
