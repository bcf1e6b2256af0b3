"""`sam-av demo`: the shipped adapter on a scene that it has never seen; the sound changes, and the mask follows.

All of it comes with the package: the networks, the adapter, and what draws the scene and plays its sounds.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from .data import Clip, Scenes, SceneSettings
from .data.clip import SAMPLE_RATE
from .data.scenes import Scene
from .data.scenes.scene import EXAMPLE_SECONDS
from .data.video_writer import VideoWriter
from .hub import write_whole
from .model import SamAV
from .predictors import ModelPredictor
from .viz import BACKGROUND, FAINT_INK, class_colour, draw_sound, overlay, swap_strip, write_text

ADAPTER = "builtin:demo-sama"
FPS = 25
_SCENE, _FIRST, _SECOND = 32, "bell", "bee"  # of the test split, and two of its five objects
_EXAMPLES = 3  # that each of the two sounds lasts
_FADE, _OVERHANG = 0.02, 0.015  # seconds; an example reaches so far into the next
_SIZE, _MARGIN, _PANEL = 512, 16, 112  # pixels of the film
_DIM = 0.5


def run_demo(folder: Path) -> str:
    """Writes a film and a picture strip into `folder`, and says what is to be seen there."""
    model = SamAV.from_pretrained(ADAPTER)
    scene = draw_scene()
    clip = change_sound(scene, _FIRST, _SECOND)
    masks = _segment(model, clip)
    write_film(folder / "demo.mp4", clip, masks)

    half = len(clip) // 2
    write_whole(folder, {"strip.png": draw_strip(model, scene, half).save})
    scores = _ious(masks, clip.binary_masks())
    return (
        f"{ADAPTER} on a scene that it has never seen: {_describe(scene)}.\n"
        f"While it hears the {_FIRST}, its mask has IoU {scores[:half].mean():.2f} with the {_FIRST}; then, with the "
        f"{_SECOND}, {scores[half:].mean():.2f} with the {_SECOND} (means of {half} frames each).\n\n"
        f"{folder / 'demo.mp4'}   the sound changes half-way, and the mask follows\n"
        f"{folder / 'strip.png'}  one picture, two sounds, two masks"
    )


def draw_scene() -> Scene:
    """The scene of the demo, with as many frames as its film has."""
    frames = round(2 * _EXAMPLES * EXAMPLE_SECONDS * FPS)
    settings = SceneSettings(size=_SIZE, frames=frames, objects=(5, 5), sources=(1, 1), silence=0, absent=0)
    return Scenes(settings, split="test").scene(_SCENE)


def change_sound(scene: Scene, first: str, second: str) -> Clip:
    """The scene as a film in which one of its objects sounds, and from the middle on another."""
    times = np.arange(len(scene.frames)) / FPS
    end = len(times) / FPS
    middle, begin = end / 2, end / 2 + _OVERHANG
    seconds = np.arange(round(end * SAMPLE_RATE)) / SAMPLE_RATE
    before = np.interp(seconds, [0, _FADE, middle - _FADE, middle], [0, 1, 1, 0])
    after = np.interp(seconds, [begin, begin + _FADE, end - _FADE, end], [0, 1, 1, 0])
    waveform = before * scene.sound(first)[: len(seconds)] + after * scene.sound(second)[: len(seconds)]
    masks = {thing.category: thing.masks for thing in scene.objects}
    return Clip(
        frames=scene.frames,
        times=times,
        waveform=waveform.astype(np.float32),
        masks=np.where((times < middle)[:, None, None], masks[first], masks[second]),
        annotated=np.ones(len(times), dtype=bool),
        id=f"{scene.id}-{first}-{second}",
        split=scene.split,
    )


def _segment(model: SamAV, clip: Clip) -> np.ndarray:
    """The masks of what sounds in the film, (T, H, W) bool."""
    logits = ModelPredictor(model, batch_size=16).predict(clip, clip.frames.shape[1:3])
    return (logits.sigmoid() > model.config.threshold).cpu().numpy()


def _ious(masks: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """The IoU (T,) of masks (T, H, W) with their truths, of which none is empty."""
    return (masks & truths).sum((1, 2)) / (masks | truths).sum((1, 2))


def _describe(scene: Scene) -> str:
    *others, last = (f"a {thing.category}" for thing in scene.objects)
    return f"{', '.join(others)} and {last}"


# ----------------------------------------------------------------------------------------------------------- to look at


def write_film(path: Path, clip: Clip, masks: np.ndarray) -> None:
    """Writes the frames with their masks (T, H, W) and the sound; under each frame the sound up to it is in colour."""
    half, scores = len(clip) // 2, _ious(masks, clip.binary_masks())
    colours = [_colour(1), _colour(2)]
    box = (_MARGIN, _MARGIN + _SIZE + 48, _MARGIN + _SIZE, _MARGIN + _SIZE + _PANEL - 8)
    sheets = []
    for shown in (colours, [_pale(colour) for colour in colours]):
        sheet = Image.new("RGB", (_SIZE + 2 * _MARGIN, _SIZE + 2 * _MARGIN + _PANEL), BACKGROUND)
        draw_sound(sheet, box, clip.waveform, shown)
        sheets.append(sheet)
    heard, unheard = sheets
    with VideoWriter(path, FPS, clip.waveform) as video:
        for k, frame in enumerate(tqdm(clip.frames, "Writing the film", unit="frame")):
            number, category = (1, _FIRST) if k < half else (2, _SECOND)
            sheet = unheard.copy()
            sheet.paste(heard.crop((0, 0, _MARGIN + _SIZE * (k + 1) // len(clip), heard.height)))
            sheet.paste(Image.fromarray(overlay(frame, masks[k] * np.uint8(number), dim=_DIM)), (_MARGIN, _MARGIN))
            draw = ImageDraw.Draw(sheet)
            top = _MARGIN + _SIZE + 12
            write_text(draw, (_MARGIN, top), f"It hears the {category}", 20, _colour(number))
            write_text(draw, (_MARGIN + _SIZE - 60, top + 3), f"IoU {scores[k]:.2f}", 16, FAINT_INK)
            video.write(np.asarray(sheet))


def draw_strip(model: SamAV, scene: Scene, k: int) -> Image.Image:
    """Frame `k` of the scene, and its masks under the two sounds."""
    frame, masks = scene.frames[k], {}
    for category in (_FIRST, _SECOND):
        (result,) = model.segment(frame, scene.sound(category)[:SAMPLE_RATE])
        (truth,) = (thing.masks[k] for thing in scene.objects if thing.category == category)
        masks[f"it hears the {category}: IoU {_ious(result.mask[None], truth[None]).item():.2f}"] = result.mask
    return swap_strip(
        frame,
        masks,
        "One picture, two sounds, two masks",
        f"{ADAPTER} on a scene that it has never seen",
        _describe(scene).capitalize(),
    )


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = class_colour(number).tolist()
    return red, green, blue


def _pale(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(0.25 * own + 0.75 * paper) for own, paper in zip(colour, BACKGROUND, strict=True))
    return red, green, blue
