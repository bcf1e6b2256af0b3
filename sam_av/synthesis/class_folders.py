"""Pictures and sounds of one's own: a folder for each class."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..data.disk import Disk
from ..data.folder import PICTURES
from .categories import OWN_FOLDERS
from .pictures import Picture, Thing, file_id
from .sounds import ENDINGS, SoundClip
from .tally import Tally

PICTURES_TREE = """\
images/<class>/<name>.jpg          .jpeg .png .webp .bmp
masks/<class>/<name>.png           of the same size: what is of that class is not black"""
SOUNDS_TREE = """\
<class>/<name>.wav                 .flac .mp3 .m4a .ogg .opus, or a video"""


class PictureFolders:
    """Pictures with a mask each, sorted into folders by what the mask shows, as `PICTURES_TREE` says.

    A picture that shows things of two classes lies in both folders, with a mask in each.

    Args:
        root: the folder that holds `images` and `masks`.
        name: of the source, which begins the ids of its pictures; by default that of the folder.
        vocabulary: whose names the folders have; by default they are called like the categories of the map.
        license: of the pictures.
        exhaustive: whether a class in whose folder a picture does not lie is not to be seen in it.
    """

    def __init__(
        self,
        root: str,
        *,
        name: str | None = None,
        vocabulary: str = OWN_FOLDERS,
        license: str | None = None,
        exhaustive: bool = False,
    ) -> None:
        self._disk = Disk(root)
        self._disk.require(["images", "masks"], "a folder for each class", PICTURES_TREE)
        self.name, self.vocabulary, self.license = name or self._disk.root.name, vocabulary, license
        self.tally = Tally()
        self._exhaustive = exhaustive
        self._files = {folder: _files(self._disk, f"images/{folder}", PICTURES) for folder in self._classes()}

    def names(self) -> Counter[str]:
        """See `PictureSource`."""
        return Counter({folder: len(files) for folder, files in self._files.items()})

    def things(self, wanted: Callable[[str], bool]) -> list[Thing]:
        """See `PictureSource`. The area of a thing is only known when its mask is read."""
        classes: dict[str, set[str]] = {}
        for folder, files in self._files.items():
            for path in files:
                classes.setdefault(path.stem, set()).add(folder)
        things = []
        for folder in filter(wanted, self._files):
            for path in self._files[folder]:
                mask = self._disk.root / "masks" / folder / f"{path.stem}.png"
                if not self._disk.has(mask):
                    self.tally.add("missing mask", f"{folder}/{path.stem}")
                    continue
                picture = Picture(
                    id=file_id(self.name, folder, path.stem),
                    path=path,
                    size=None,
                    source=self.name,
                    license=self.license,
                    present=frozenset(classes[path.stem]),
                    exhaustive=self._exhaustive,
                )
                things.append(Thing(picture.id, picture, folder, str(mask), area=1.0))
        return things

    def _classes(self) -> list[str]:
        return sorted(name for name in self._disk.names(self._disk.root / "images") if not name.startswith("."))


class SoundFolders:
    """Sounds sorted into folders by what is heard, as `SOUNDS_TREE` says.

    Args:
        root: the folder of the folders.
        name: of the source, which begins the ids of its clips; by default that of the folder.
        vocabulary: whose names the folders have; by default they are called like the categories of the map.
        license: of the sounds.
    """

    def __init__(
        self, root: str, *, name: str | None = None, vocabulary: str = OWN_FOLDERS, license: str | None = None
    ) -> None:
        disk = Disk(root)
        if not disk.root.is_dir():
            raise FileNotFoundError(f"There is no folder '{disk.root}' of sounds.")
        self.name, self.vocabulary, self.license = name or disk.root.name, vocabulary, license
        self.tally = Tally()
        folders = sorted(child for child in disk.names(disk.root) if not child.startswith("."))
        self._files = {folder: _files(disk, folder, ENDINGS) for folder in folders}

    def labels(self) -> Counter[str]:
        """See `SoundSource`."""
        return Counter({folder: len(files) for folder, files in self._files.items()})

    def clips(self, wanted: Callable[[str], bool]) -> list[SoundClip]:
        """See `SoundSource`."""
        clips: dict[str, SoundClip] = {}
        for folder in filter(wanted, self._files):
            for path in self._files[folder]:
                recording = f"{self.name}/{folder}/{path.stem}"
                if recording in clips:
                    self.tally.add("two sounds of a name", f"{folder}/{path.name}")
                else:
                    name = file_id(self.name, folder, path.stem)
                    clips[recording] = SoundClip(name, path, (folder,), recording, self.name, self.license)
        return list(clips.values())


def _files(disk: Disk, folder: str, endings: tuple[str, ...]) -> list[Path]:
    """The files of a folder that have one of the endings, in order."""
    place = disk.root / folder
    return [place / name for name in sorted(disk.names(place)) if name.lower().endswith(endings)]
