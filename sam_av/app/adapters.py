"""Which adapters visitors may choose, and the one that is loaded."""

from collections.abc import Sequence
from pathlib import Path

from ..builtin import is_builtin
from ..hub import is_repo_id
from ..model import SamAV


class AdapterChoice:
    """The adapters of a page; the last one that was used stays loaded.

    Args:
        names: what is offered: Hub ids, folders, built-ins.
        others: which others a visitor may name: "none"; "hub", those on the Hub; or "any", folders of this machine
            among them, which is for a page that nobody else reaches: errors tell what lies in a folder.
        device: None takes the best there is.
    """

    def __init__(self, names: Sequence[str], others: str, device: str | None = None) -> None:
        self.names, self.others = list(names), others
        self._device = device
        self._loaded: tuple[str, SamAV] | None = None

    def load(self, name: str) -> SamAV:
        """The model of an adapter that a visitor has chosen. One at a time may ask."""
        name = name.strip()
        self._check(name)
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # two of them may not fit into memory
            self._loaded = (name, SamAV.from_pretrained(name, device=self._device))
        return self._loaded[1]

    def _check(self, name: str) -> None:
        if name in self.names or self.others == "any":
            return
        if self.others == "none":
            raise ValueError(f"This page offers {', '.join(self.names)}, and no other adapter.")
        if Path(name).expanduser().exists() or not (is_builtin(name) or is_repo_id(name)):
            raise ValueError(f"'{name}' is no name of an adapter on the Hub, such as user/sam-av-vit-h-s4.")
