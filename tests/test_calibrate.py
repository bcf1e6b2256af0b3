"""The threshold that validation chooses: with a predictor whose best threshold is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_model

from sam_av.calibrate import GRID, calibrate_threshold
from sam_av.data import Scenes, SceneSettings
from sam_av.predictors import ModelPredictor

SOUNDING = list(
    Scenes(SceneSettings.demo(size=64), sources=(1, 1), silence=0, absent=0, switching=0, length=3, frames=2)
)
SILENT = list(Scenes(SceneSettings.demo(size=64), silence=1, absent=0, length=3, frames=2))


class Halo:
    """Gives the truth 0.9, what is around it 0.52, the rest 0.1, and where nothing sounds a spot of 0.72."""

    runs = 0

    def predict(self, clip, size):
        self.runs += 1
        assert size == clip.frames.shape[1:3]
        truths = torch.from_numpy(clip.binary_masks()[clip.annotated])
        around = torch.nn.functional.max_pool2d(truths[None].float(), 9, stride=1, padding=4)[0] > 0
        probabilities = torch.full(truths.shape, 0.1).masked_fill(around, 0.52).masked_fill(truths, 0.9)
        if not truths.any():
            probabilities[:, :8, :8] = 0.72
        return probabilities.logit()


def test_it_keeps_what_surrounds_the_truth_out():
    predictor = Halo()
    assert calibrate_threshold(predictor, SOUNDING) == 0.55  # of 0.55 to 0.85, which are equal, the nearest to 0.5
    assert predictor.runs == 3, "one pass of the predictor serves all thresholds"


def test_silent_clips_count():
    assert calibrate_threshold(Halo(), SOUNDING + SILENT) == 0.75


def test_only_annotated_frames_count():
    half = [replace(clip, annotated=np.array([True, False])) for clip in SILENT]
    assert calibrate_threshold(Halo(), half, grid=(0.5, 0.75)) == 0.75
    with pytest.raises(ValueError, match="none of these clips has one"):
        calibrate_threshold(Halo(), [])


def test_a_model_is_calibrated_as_it_is():
    threshold = calibrate_threshold(ModelPredictor(make_model(image_size=64), batch_size=32), SOUNDING + SILENT)
    assert threshold in GRID
