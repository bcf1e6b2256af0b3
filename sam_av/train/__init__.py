"""Training of adapters: `train(Recipe(...))`, or `python -m sam_av.train`, also under `accelerate launch`."""

from ..recipe import Recipe
from .loop import train
from .stopping import TrainingStopped

__all__ = ["Recipe", "TrainingStopped", "train"]
