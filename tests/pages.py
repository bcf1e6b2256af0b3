"""Pages of documentation as programs: their Python and bash blocks, run in order as pasted, in a user's folder.

A block that cannot run in a test has the comment `<!-- not run: why -->` above it, which no reader sees.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import synthesis_sources as made
import torch
from conftest import GOLDEN, make_sam
from films import save_film
from local_hub import LocalHub, Repository
from PIL import Image
from scipy.io import wavfile

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish
from sam_av.data import Scenes, SceneSettings, open_dataset, write_dataset
from sam_av.data.scenes import CATEGORIES
from sam_av.predictions import save_predictions

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("**/*.md"))
README = ROOT / "README.md"

_FENCE = re.compile(r"```(\w*)\s*$")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
# A bash block as a statement of the page's script, so that all blocks run in the page's order.
_BASH = 'import subprocess; subprocess.run(["bash", "-euo", "pipefail", "-c", {code!r}], check=True)'


# What pages call recipe.yaml.
RECIPE = "{data: my-clips, base: facebook/sam-vit-base, epochs: 1, validation: null, output: outputs/by-recipe}"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the number of its first fence's line, and why it is not run."""

    language: str
    code: str
    line: int
    not_run: str | None = None


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    blocks, lines = [], text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if start is None and (fence := _FENCE.match(line)):
            start, language = number, fence[1]
        elif start is not None and line == "```":
            mark = _NOT_RUN.fullmatch(lines[start - 1]) if start else None
            blocks.append(Block(language, "\n".join(lines[start + 1 : number]), start + 1, mark[1] if mark else None))
            start = None
    return blocks


def script_of(text: str) -> str:
    """The blocks that run, as one Python script in which each line of Python keeps its number on the page."""
    script = [""] * len(text.splitlines())
    for block in blocks_of(text):
        if block.not_run is not None:
            continue
        if block.language == "bash":
            script[block.line - 1] = _BASH.format(code=block.code)
        elif block.language == "python":
            lines = block.code.splitlines()
            script[block.line : block.line + len(lines)] = lines
    return "\n".join(script)


@dataclass(frozen=True)
class Place:
    """Where a user works: a folder with files, a Hub, and the environment that leads there."""

    folder: Path
    hub: LocalHub
    environment: dict[str, str]

    def run(self, code: str, name: str = "block") -> subprocess.CompletedProcess[str]:
        """Runs Python code in the folder; `name` is what tracebacks call it."""
        script = self.folder.parent / f"{name}.py"
        script.write_text(code, encoding="utf-8")
        return subprocess.run(
            [sys.executable, script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def run_page(self, page: Path) -> str:
        """Runs the blocks of a page, none of which may fail, and returns what they print."""
        done = self.run(script_of(page.read_text(encoding="utf-8")), page.stem)
        assert done.returncode == 0, (done.stderr[-4000:], done.stdout[-1000:])
        return done.stdout


def make_stand_ins(folder: Path) -> Path:
    """Fills a folder with small weights in place of those that are downloaded, and with a user's files."""
    vggish = VGGish()
    (folder / "torch/hub/checkpoints").mkdir(parents=True)
    half = {key: weight.half() for key, weight in vggish.state_dict().items()}
    torch.save(half, folder / "torch/hub/checkpoints/vggish-10086976.pth")
    vggish.load_state_dict({key: weight.float() for key, weight in half.items()})
    vggish.name = "vggish"

    sam = make_sam()
    sam.save_pretrained(folder / "base")
    config = SamAVConfig(base_model_name_or_path="facebook/sam-vit-base")
    SamAV.from_base(sam, config, audio_encoder=vggish, device="cpu").save_pretrained(folder / "adapter")

    user = folder / "user"
    user.mkdir()
    Image.fromarray(np.zeros((360, 640, 3), np.uint8)).save(user / "street.png")
    save_film(user / "street.mp4", 12, size=(360, 640))
    wavfile.write(user / "street.wav", 44_100, np.zeros(44_100 * 2, np.int16))
    shutil.copy(GOLDEN / "sama_tiny.pth", user / "model_epoch_best.pth")
    shutil.copy(GOLDEN / "segment_anything_tiny.pth", user / "sam_vit_b_01ec64.pth")

    settings = SceneSettings.demo(size=64)
    clips = Scenes(settings, sources=(1, 1), silence=0, absent=0, length=5, split="test")
    write_dataset(clips, user / "s4", "avsbench-s4")
    parts = [
        Scenes(settings, sources=(1, 1), length=n, split=part) for part, n in (("train", 6), ("val", 2), ("test", 2))
    ]
    write_dataset(chain.from_iterable(parts), user / "my-clips", "folder")

    made.write_class_folders(user / "my-pictures", made.draw(8))
    made.write_sound_folders(user / "my-sounds", 3)

    semantic = Scenes(settings, masks="classes", sources=(1, 1), silence=0, absent=0, length=2, split="test")
    write_dataset(semantic, user / "avss", "avss", categories=CATEGORIES)
    for clip in open_dataset(user / "avss", "test"):
        save_predictions(user / "my-ids", clip, torch.from_numpy(clip.masks))

    (user / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@contextmanager
def open_place(stand_ins: Path, folder: Path) -> Iterator[Place]:
    """A place of its own, with a copy of the user's files and a Hub that holds the stand-ins."""
    shutil.copytree(stand_ins / "user", folder / "user")
    with LocalHub() as hub:
        for name, source in (
            ("facebook/sam-vit-base", "base"),
            ("facebook/sam-vit-huge", "base"),
            ("user/sam-av-vit-h-s4", "adapter"),
        ):
            hub.repos[name] = Repository(name, private=False)
            files = {path.name: path.read_bytes() for path in (stand_ins / source).iterdir()}
            hub.repos[name].commit(files, "first")
        environment = hub.environment(folder / "home")
        environment["TORCH_HOME"] = str(stand_ins / "torch")
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        environment["PYTHONPATH"] = str(ROOT)
        yield Place(folder / "user", hub, environment)
