"""Scores for audio-visual segmentation: AVSBench's binary tasks and AVSS. Tensors in, numbers out."""

from .avsbench import PROTOCOLS, AVSBench, Protocol, f_measure, mask_iou
from .avss import AVSS, AVSSScores

__all__ = ["AVSS", "PROTOCOLS", "AVSBench", "AVSSScores", "Protocol", "f_measure", "mask_iou"]
