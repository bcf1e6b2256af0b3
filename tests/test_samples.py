"""Samples of clips: the frames that are drawn, and batches that any number of processes deals out alike."""

from dataclasses import replace

import numpy as np
import torch
from conftest import make_model
from evaluated import MemoryDataset

from sam_av.augment import Augmentation
from sam_av.data import Scenes
from sam_av.samples import ClipSamples, SampleMaker, ShuffledBatches, collate

SCENES = Scenes(size=64, frames=4, length=3, silence=0, absent=0)


def test_annotated_frames_are_drawn_anew_each_epoch_and_the_same_again():
    maker = SampleMaker(make_model().processor, frames_per_clip=2)
    annotated = np.array([True, False, True, True, False, True])
    drawn = [tuple(maker.choose("clip", annotated, epoch)) for epoch in range(40)]
    assert {number for pair in drawn for number in pair} == {0, 2, 3, 5}
    assert len(set(drawn)) == 6 and drawn == [tuple(maker.choose("clip", annotated, epoch)) for epoch in range(40)]
    assert tuple(maker.choose("clip", annotated[:3], 0)) == (0, 2)


def test_a_sample_is_what_the_processor_makes_of_the_frames():
    model = make_model()
    clip = SCENES[0]
    sample = SampleMaker(model.processor, frames_per_clip=4)(clip, 0)
    plain = model.processor(list(clip.frames), clip.waveform, 16_000, times=clip.times, masks=list(clip.masks))
    for name in ("pixel_values", "audio", "mask_labels"):
        assert torch.equal(sample[name], plain[name])
    assert sample["frames"][1] == f"{clip.id} at 1.00 s"


def test_a_clip_without_annotation_gives_a_frame_without_loss():
    clip = replace(SCENES[0], masks=None, annotated=np.zeros(4, dtype=bool))
    sample = SampleMaker(make_model().processor)(clip, 0)
    assert sample["mask_labels"].shape[0] == 1 and bool((sample["mask_labels"] == -1).all())


def test_augmentation_depends_on_seed_epoch_and_clip_alone():
    make = SampleMaker(make_model().processor, augmentation=Augmentation(flip=0.5, colour=0.3, noise_snr=5), seed=3)
    torch.manual_seed(1)
    first = make(SCENES[0], 0)
    state = torch.get_rng_state()
    again, later = make(SCENES[0], 0), make(SCENES[0], 1)
    assert torch.equal(state, torch.get_rng_state())  # what the model draws is left alone
    assert torch.equal(first["pixel_values"], again["pixel_values"]) and torch.equal(first["audio"], again["audio"])
    assert not torch.equal(first["audio"], later["audio"])


def test_batches_join_the_frames_of_their_clips():
    samples = ClipSamples(MemoryDataset([SCENES[k] for k in range(3)]), SampleMaker(make_model().processor))
    batch = collate([samples[0], samples[2]])
    assert batch["pixel_values"].shape == (2, 3, 64, 64)
    assert batch["frames"] == samples[0]["frames"] + samples[2]["frames"]


def test_processes_share_the_batches_that_one_would_take():
    together = ShuffledBatches(11, 4, seed=1)
    parts = [ShuffledBatches(11, 2, seed=1, rank=rank, world=2) for rank in (0, 1)]
    for epoch in (0, 1):
        for sampler in (together, *parts):
            sampler.start(epoch)
        whole = list(together)
        assert [first + second for first, second in zip(*parts, strict=True)] == whole
        assert {number for batch in whole for number in batch} == set(range(11))
        assert [len(batch) for batch in whole] == [4, 4, 4]  # the twelfth place is filled from the start
    orders = []
    for epoch in (0, 1, 0):
        together.start(epoch)
        orders.append(list(together))
    assert orders[0] == orders[2] != orders[1]


def test_an_epoch_can_be_taken_up_at_any_batch():
    batches = ShuffledBatches(10, 2, seed=0)
    batches.start(3)
    whole = list(batches)
    batches.start(3, first=2)
    assert list(batches) == whole[2:] and len(batches) == 5
