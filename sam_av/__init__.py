"""sam-av: audio-visual segmentation with small audio adapters on a frozen Segment Anything model."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import AdapterCard, SamAVConfig
    from .model import SamAV
    from .network import SamAVOutput
    from .predict import FrameMask
    from .processor import SamAVProcessor

__version__ = "0.1.0"
__all__ = ["AdapterCard", "FrameMask", "SamAV", "SamAVConfig", "SamAVOutput", "SamAVProcessor"]

# Public name -> module. Imported when first asked for, so that `import sam_av` pulls in no torch.
_MODULE_OF = {
    "AdapterCard": "config",
    "FrameMask": "predict",
    "SamAV": "model",
    "SamAVConfig": "config",
    "SamAVOutput": "network",
    "SamAVProcessor": "processor",
}
_SUBPACKAGES = ("audio", "data", "metrics", "sam")


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF and name not in _SUBPACKAGES:
        raise AttributeError(f"module 'sam_av' has no attribute '{name}'")
    try:
        module = importlib.import_module(f".{_MODULE_OF.get(name, name)}", __name__)
    except (ImportError, OSError, RuntimeError) as error:
        from .environment import explain_torchaudio

        if explanation := explain_torchaudio():
            raise ImportError(explanation) from error
        raise
    return module if name in _SUBPACKAGES else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, *_SUBPACKAGES])
