"""Small sets in the forms of COCO, LVIS, Open Images, VGGSound, AudioSet and FSD50K, made of drawn scenes."""

import csv
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sam_av.data import Scenes
from sam_av.data.scenes import Scene
from sam_av.data.shapes import box_of, encode_mask
from sam_av.data.writing import write_picture, write_waveform

SIZE = 64
CATEGORIES = ("dog", "bee", "car", "bell")
LVIS_NAMES = {"dog": "dog", "bee": "bee", "car": "car_(automobile)", "bell": "bell"}
LABELS = {
    "dog": ("dog barking", "dog growling"),
    "bee": ("bee, wasp, etc. buzzing",),
    "car": ("car passing by",),
    "bell": ("church bell ringing",),
}
MIDS = {"dog": "/m/0bt9lr", "bee": "/m/01h3n", "car": "/m/0k4j", "bell": "/m/0395lw"}


def draw(count: int, *, seed: int = 0, size: int = SIZE, objects: tuple[int, int] = (2, 3)) -> list[Scene]:
    """Scenes of one frame with things of the four categories."""
    scenes = Scenes(
        seed=seed, length=count, size=size, frames=1, categories=CATEGORIES, objects=objects, sources=(1, 1),
        silence=0, absent=0, area=(0.08, 0.12),
    )  # fmt: skip
    return [scenes.scene(k) for k in range(count)]


def write_coco(
    root: Path,
    scenes: Sequence[Scene],
    *,
    names: dict[str, str] | None = None,
    first: int = 1,
    encoding: str = "polygon",
) -> Path:
    """images/ and instances.json as in COCO; outlines are polygons (boxes of the masks' rows), or run lengths."""
    names = names or {name: name for name in CATEGORIES}
    images, annotations = [], []
    for number, scene in enumerate(scenes, start=first):
        name = f"{number:012d}.jpg"
        write_picture(root / "images" / name, scene.frames[0])
        height, width = scene.frames.shape[1:3]
        images.append({"id": number, "file_name": name, "height": height, "width": width, "license": 1})
        for thing in scene.objects:
            mask = thing.masks[0]
            outline = encode_mask(mask) if encoding == "rle" else [polygon_of(mask)]
            annotations.append(
                {
                    "segmentation": outline,
                    "area": float(mask.sum()),
                    "iscrowd": 0,
                    "image_id": number,
                    "bbox": box_of(mask),
                    "category_id": list(names).index(thing.category) + 1,
                    "id": 1000 * first + len(annotations),
                }
            )
    data = {
        "info": {"description": "drawn {scenes}"},
        "licenses": [{"id": 1, "name": "CC BY 4.0", "url": "https://example.org"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(names.values())],
    }
    path = root / "instances.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def write_lvis(root: Path, scenes: Sequence[Scene], first: int = 1) -> Path:
    """The same as in LVIS: annotations first, coco_url for file_name, what is known not to be there."""
    path = write_coco(root, scenes, names=LVIS_NAMES, first=first)
    data = json.loads(path.read_text(encoding="utf-8"))
    for image, scene in zip(data["images"], scenes, strict=True):
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
        seen = {thing.category for thing in scene.objects}
        image["neg_category_ids"] = [k + 1 for k, name in enumerate(LVIS_NAMES) if name not in seen]
        image["not_exhaustive_category_ids"] = []
    (root / "train2017").mkdir()
    for picture in (root / "images").iterdir():
        picture.rename(root / "train2017" / picture.name)
    (root / "images").rmdir()
    order = ("annotations", "info", "images", "licenses", "categories")
    path.write_text(json.dumps({name: data[name] for name in order}), encoding="utf-8")
    return path


def write_open_images(root: Path, scenes: Sequence[Scene]) -> None:
    """images/, masks/ (twice as large), and the tables of masks, classes, boxes and pictures."""
    masks, boxes, images = [], [], []
    for scene in scenes:
        image = f"{zlib.crc32(scene.id.encode()):016x}"
        write_picture(root / "images" / f"{image}.jpg", scene.frames[0])
        images.append({"ImageID": image, "License": "https://creativecommons.org/licenses/by/2.0/", "Rotation": "0.0"})
        for k, thing in enumerate(scene.objects):
            mask, label = thing.masks[0], MIDS[thing.category]
            name = f"{image}_{label[1:].replace('/', '')}_{k:08x}.png"
            write_picture(root / "masks" / name[0] / name, np.kron(mask, np.ones((2, 2), bool)))
            left, top, wide, high = (number / len(mask) for number in box_of(mask))
            box = {"XMin": left, "XMax": left + wide, "YMin": top, "YMax": top + high}
            masks.append(
                {
                    "MaskPath": name, "ImageID": image, "LabelName": label, "BoxID": f"{k:08x}",
                    **{f"Box{side}": f"{value:.6f}" for side, value in box.items()},
                    "PredictedIoU": "0.9", "Clicks": "",
                }
            )  # fmt: skip
            boxes.append(
                {
                    "ImageID": image, "Source": "xclick", "LabelName": label, "Confidence": 1, **box, "IsOccluded": 0,
                    "IsTruncated": int(k == 1), "IsGroupOf": int(k == 2), "IsDepiction": 0, "IsInside": 0,
                }
            )  # fmt: skip
    save_table(root / "masks.csv", masks)
    save_table(root / "boxes.csv", boxes)
    save_table(root / "images.csv", images)
    names = "".join(f"{mid},{name.capitalize()}\n" for name, mid in MIDS.items())
    (root / "classes.csv").write_text("LabelName,DisplayName\n" + names)


def write_vggsound(root: Path, count: int, *, seed: int = 7, seconds: int = 3) -> Path:
    """clips/<id>_<start>.wav and vggsound.csv: `count` clips of each category, each from a video of its own."""
    lines = []
    for category, wave in sounds(count, seed=seed, seconds=seconds):
        video, start = f"yt-{category}{len(lines):04d}", 10 * len(lines)
        write_waveform(root / "clips" / f"{video}_{start:06d}.wav", wave)
        label = LABELS[category][len(lines) % len(LABELS[category])]
        lines.append(f'{video},{start},"{label}",{"train" if len(lines) % 5 else "test"}\n')
    (root / "vggsound.csv").write_text("".join(lines))
    return root / "vggsound.csv"


def write_audioset(root: Path, count: int) -> None:
    """clips/Y<id>.wav, segments.csv with its comments, and the table of labels."""
    lines = ["# Segments csv created Sun Mar  5 10:54:31 2017\n", "# num_ytids=4\n", "# YTID, start_seconds, ...\n"]
    for k, (category, wave) in enumerate(sounds(count, seed=8)):
        write_waveform(root / "clips" / f"Yas{k:09d}.wav", wave)
        lines.append(f'as{k:09d}, {k}.000, {k + 10}.000, "{MIDS[category]},/m/04rlf"\n')
    (root / "segments.csv").write_text("".join(lines))
    names = [f"{k},{mid},{name.capitalize()}\n" for k, (name, mid) in enumerate(MIDS.items())]
    (root / "labels.csv").write_text("index,mid,display_name\n" + "".join(names) + '9,/m/04rlf,"Music, any"\n')


def write_fsd50k(root: Path, count: int) -> None:
    """clips/<fname>.wav, dev.csv and the facts with the licences."""
    rows, facts = [], {}
    for k, (category, wave) in enumerate(sounds(count, seed=9)):
        write_waveform(root / "clips" / f"{1000 + k}.wav", wave)
        split = "val" if k % 4 == 0 else "train"
        rows.append({"fname": str(1000 + k), "labels": f"{category},Animal", "mids": "/m/1", "split": split})
        facts[str(1000 + k)] = {"license": "http://creativecommons.org/licenses/by/3.0/", "uploader": "x"}
    save_table(root / "dev.csv", rows)
    (root / "info.json").write_text(json.dumps(facts))


def write_class_folders(root: Path, scenes: Sequence[Scene]) -> None:
    """images/<class>/ and masks/<class>/."""
    for scene in scenes:
        for thing in scene.objects:
            write_picture(root / "images" / thing.category / f"{scene.id}.jpg", scene.frames[0])
            write_picture(root / "masks" / thing.category / f"{scene.id}.png", thing.masks[0])


def write_sound_folders(root: Path, count: int, *, seconds: int = 3) -> None:
    """<class>/<number>.wav."""
    for k, (category, wave) in enumerate(sounds(count, seed=11, seconds=seconds)):
        write_waveform(root / category / f"{k}.wav", wave)


def sounds(count: int, *, seed: int, seconds: int = 3):
    """Of each category so many sounds, each with its category."""
    scenes = Scenes(seed=seed, length=count, size=32, frames=seconds, objects=(1, 1), sources=(1, 1))
    for category in CATEGORIES:
        for k in range(count):
            yield category, scenes.scene(k).sound(category)


def polygon_of(mask: np.ndarray) -> list[float]:
    """A polygon around a mask, row by row: down its left side and up its right one."""
    rows = np.flatnonzero(mask.any(axis=1)).tolist()
    left = [(int(np.argmax(mask[y])), y) for y in rows]
    right = [(mask.shape[1] - int(np.argmax(mask[y, ::-1])), y) for y in rows]
    corners = [corner for x, y in left for corner in ((x, y), (x, y + 1))]
    corners += [corner for x, y in reversed(right) for corner in ((x, y + 1), (x, y))]
    return [float(number) for corner in corners for number in corner]


def save_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def map_text() -> str:
    """A category map of the four categories for all vocabularies of these sets."""
    return """\
categories:
  dog:
    pictures: {coco: [dog], lvis: [dog], open-images: [Dog]}
    sounds: {vggsound: [dog barking, dog growling], audioset: [Dog], fsd50k: [dog]}
  bee:
    pictures: {coco: [bee], lvis: [bee], open-images: [Bee]}
    sounds: {vggsound: ["bee, wasp, etc. buzzing"], audioset: [Bee], fsd50k: [bee]}
  car:
    pictures: {coco: [car], lvis: [car_(automobile)], open-images: [Car]}
    sounds: {vggsound: [car passing by], audioset: [Car], fsd50k: [car]}
  bell:
    pictures: {coco: [bell], lvis: [bell], open-images: [Bell]}
    sounds: {vggsound: [church bell ringing], audioset: [Bell], fsd50k: [bell]}
"""


def resized(path: Path, size: tuple[int, int]) -> None:
    """Writes a picture anew in another size."""
    with Image.open(path) as image:
        small = image.resize(size)
    small.save(path)
