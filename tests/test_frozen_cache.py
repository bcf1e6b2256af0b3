"""Frozen work done once: the same weights as without, for every store, and nothing stale, cut off or spoilt in it."""

import json
import os
import pickle
import shutil
from collections import namedtuple
from dataclasses import replace
from functools import cache, partial

import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from conftest import TinyAudioEncoder, make_model, make_sam
from data_sets import one_source, scenes
from evaluated import MemoryDataset
from torch import multiprocessing
from torch.utils.data import DataLoader

from sam_av import SamAV, frozen_store
from sam_av.augment import Augmentation
from sam_av.data import Clip, open_dataset, write_dataset
from sam_av.frozen_cache import freeze
from sam_av.samples import ClipSamples, SampleMaker, ShuffledBatches, collate

SETTINGS = {"ap-sam": {"method": "ap-sam"}, "sama behind layer 1": {"adapter_layers": [2, 3]}}


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


@pytest.fixture
def in_place(accelerator, tmp_path):
    """Freezes into a place of a kind, one frame at a time: batches of one are the same batches everywhere."""

    def into(place, model, samples, **options):
        where = "memory" if place == "memory" else str(tmp_path / "cache")
        return freeze(model, samples, where, accelerator=accelerator, **{"batch_size": 1, **options})

    return into


@cache
def scene():
    """Drawing takes its time: all clips here are the frames of one scene, each moved a little further."""
    return scenes(length=1, frames=3)[0]


def drawn(length=5):
    """Clips of three frames."""
    return MemoryDataset(
        [
            replace(scene(), frames=np.roll(scene().frames, number, axis=2), id=f"clip {number}")
            for number in range(length)
        ]
    )


def samples_of(model, clips, **options):
    return ClipSamples(clips, SampleMaker(model.processor, seed=3, **options))


def train(model, samples, clips, *, optimizer=torch.optim.AdamW, batch_size=1, epochs=2, **loading):
    """The weights after some epochs."""
    model.train()
    optimizer = optimizer([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    batches = ShuffledBatches(len(clips), batch_size, seed=0)
    loader = DataLoader(samples, batch_sampler=batches, collate_fn=collate, **loading)
    for epoch in range(epochs):
        clips.set_epoch(epoch)
        batches.start(epoch)
        for batch in loader:
            del batch["frames"]
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def forbid(*owners_and_names):
    """Lets these methods fail: whoever goes on has no need of them."""
    for owner, name in owners_and_names:

        def fail(*_, name=name):
            raise AssertionError(f"{name} was called")

        setattr(owner, name, fail)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        same = torch.equal(value, theirs[name]) if isinstance(value, torch.Tensor) else value == theirs[name]
        assert same, name


class TestTraining:
    @pytest.mark.parametrize("place", ["memory", "folder"])
    @pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
    def test_gives_the_same_weights_to_the_last_bit(self, in_place, settings, place):
        plain, cached = make_model(**settings), make_model(**settings)
        clips, before = drawn(), make_model(**settings).state_dict()
        expected = train(plain, samples_of(plain, clips), clips)
        frozen = in_place(place, cached, samples_of(cached, clips))
        forbid((clips, "_read"), (cached.audio_encoder, "forward"), (cached.sam.vision_encoder.patch_embed, "forward"))
        for layer in cached.sam.vision_encoder.layers[: cached.frozen_layers]:
            forbid((layer.attn.qkv, "forward"))
        weights = train(cached, frozen, clips)
        assert_same(weights, expected)
        assert any(not torch.equal(weights[name], before[name]) for name in before)

    @pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
    def test_in_batches_of_other_sizes(self, in_place, settings):
        """A matrix product of more rows may add up in another order: the last bits differ, and no more than these."""
        plain, cached = make_model(**settings), make_model(**settings)
        clips = drawn()
        sgd = {"optimizer": torch.optim.SGD, "batch_size": 2}
        expected = train(plain, samples_of(plain, clips, frames_per_clip=2), clips, **sgd)
        frozen = in_place("folder", cached, samples_of(cached, clips, frames_per_clip=2), batch_size=7)
        weights = train(cached, frozen, clips, **sgd)
        for name, weight in weights.items():
            assert (weight - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name

    @pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    @pytest.mark.parametrize("place", ["memory", "folder"])
    def test_with_workers_that_live_on(self, in_place, place, context):
        plain, cached = make_model(method="ap-sam"), make_model(method="ap-sam")
        clips = drawn()
        expected = train(plain, samples_of(plain, clips), clips)
        frozen = in_place(place, cached, samples_of(cached, clips), workers=1)
        workers = {"num_workers": 2, "persistent_workers": True, "multiprocessing_context": context}
        assert_same(train(cached, frozen, clips, **workers), expected)

    def test_of_a_bfloat16_encoder(self, in_place):
        model = SamAV.from_base(
            make_sam(), make_model(method="ap-sam").config, audio_encoder=TinyAudioEncoder(), dtype=torch.bfloat16,
            device="cpu",
        )  # fmt: skip
        clips = drawn()
        samples = samples_of(model, clips)
        kept = collate([in_place("folder", model, samples)[0]])
        assert kept["image_embeddings"].dtype == torch.bfloat16
        made = collate([samples[0]])
        ours, plain = (
            model(**{key: value for key, value in batch.items() if key != "frames"}) for batch in (kept, made)
        )
        assert torch.equal(ours.mask_logits, plain.mask_logits)

    def test_under_autocast(self, tmp_path):
        AcceleratorState._reset_state(True)
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        try:
            model = make_model(adapter_layers=[2])
            clips = drawn()
            samples = samples_of(model, clips)
            frozen = freeze(model, samples, str(tmp_path), accelerator=accelerator, batch_size=1)
            logits = []
            for batch in (frozen[1], samples[1]):
                with accelerator.autocast():
                    logits.append(model(**{key: value for key, value in batch.items() if key != "frames"}).mask_logits)
        finally:
            AcceleratorState._reset_state(True)
        assert torch.equal(*logits)


def clip_of(name, annotated, seed):
    rng = np.random.default_rng(seed)
    known = np.array(annotated)
    frames = rng.integers(0, 256, (len(known), 40, 56, 3), dtype=np.uint8)
    masks = (rng.random((len(known), 40, 56)) > 0.5) & known[:, None, None] if known.any() else None
    waveform = rng.uniform(-1, 1, 16_000 * len(known)).astype(np.float32)
    return Clip(frames, np.arange(len(known)) + 0.5, waveform, masks, known, name)


class TestChoice:
    """Which frames come up is decided as without the cache."""

    @pytest.mark.parametrize("frames_per_clip", [1, 2, 5])
    @pytest.mark.parametrize("place", ["memory", "folder"])
    def test_among_the_annotated_frames(self, in_place, place, frames_per_clip):
        annotated = [[False, True, True, False, True], [True] * 5, [False] * 3, [False, False, True]]
        clips = MemoryDataset([clip_of(f"clip {n}", known, n) for n, known in enumerate(annotated)])
        model = make_model(method="ap-sam")
        samples = samples_of(model, clips, frames_per_clip=frames_per_clip)
        frozen = in_place(place, model, samples)
        chosen = set()
        for epoch in range(12):
            clips.set_epoch(epoch)
            for number in range(len(clips)):
                kept, made = frozen[number], samples[number]
                with torch.no_grad():
                    # Frame by frame, as they were encoded.
                    pixels, heard = made.pop("pixel_values").split(1), made["audio"].split(1)
                    made["image_embeddings"] = torch.cat(
                        [model.encode_frozen(frame)["image_embeddings"] for frame in pixels]
                    )
                    made["audio"] = torch.cat([model.encode_audio(example) for example in heard])
                assert_same(kept, made)
                chosen |= set(kept["frames"])
        assert len(chosen) == 3 + 5 + 1 + 1


class TestPart:
    """Only what changes from one time to the next is made each time."""

    def check(self, frozen, samples, kept, made):
        """Some keys come from the store, and the others are those of the uncached sample."""
        for epoch in (0, 1):
            samples.clips.set_epoch(epoch)
            ours, plain = frozen[0], samples[0]
            assert ours.keys() == {*kept, *made, "frames"}
            assert_same(
                {name: ours[name] for name in (*made, "frames")}, {name: plain[name] for name in (*made, "frames")}
            )
        stored, _ = frozen.store.frames(0)
        assert stored == samples.clips[0].id
        assert frozen.store.rows(0, [0]).keys() == set(kept)

    @pytest.mark.parametrize("change", [{"flip": 0.5}, {"colour": 0.4}])
    def test_changed_pictures_are_encoded_each_time(self, in_place, change):
        model = make_model(method="ap-sam")
        samples = samples_of(model, drawn(), augmentation=Augmentation(**change))
        self.check(in_place("memory", model, samples), samples, {"audio"}, {"pixel_values", "mask_labels"})

    @pytest.mark.parametrize("change", [{"spec_mask": 0.3}, {"noise_snr": 10.0}])
    def test_changed_sounds_are_encoded_each_time(self, in_place, change):
        model = make_model(adapter_layers=[3])
        samples = samples_of(model, drawn(), augmentation=Augmentation(**change))
        self.check(in_place("folder", model, samples), samples, {"image_tokens"}, {"audio", "mask_labels"})

    def test_drawn_sounds_are_encoded_each_time(self, in_place, tmp_path):
        root = write_dataset(one_source(frames=2, length=12), tmp_path / "synthetic", "avs-synthetic")
        model, clips = make_model(method="ap-sam"), open_dataset(root, "train")
        assert clips.draws_sounds
        samples = samples_of(model, clips)
        self.check(in_place("memory", model, samples), samples, {"image_embeddings"}, {"audio", "mask_labels"})

    def test_an_encoder_that_hears_from_its_first_layer_on_is_run_each_time(self, in_place):
        model = make_model()
        samples = samples_of(model, drawn())
        frozen = in_place("memory", model, samples)
        self.check(frozen, samples, {"audio"}, {"pixel_values", "mask_labels"})
        twin, clips = make_model(), samples.clips
        assert_same(train(model, frozen, clips), train(twin, samples_of(twin, clips), clips))

    @pytest.mark.parametrize(
        ("settings", "augmentation", "reason"),
        [
            (
                {},
                {"spec_mask": 0.5},
                "hears .adapter_layers. or trains .LoRA. from its first layer on, and augmentation",
            ),
            (
                {"method": "ap-sam"},
                {"flip": 0.5, "noise_snr": 3.0},
                "changes the pictures, and augmentation changes the",
            ),
        ],
    )
    def test_nothing_is_an_error_before_any_work(self, in_place, settings, augmentation, reason):
        model, clips = make_model(**settings), drawn()
        forbid((clips, "_read"))
        with pytest.raises(ValueError, match=f"nothing of this training can be kept.*{reason}.*Leave cache out"):
            in_place("folder", model, samples_of(model, clips, augmentation=Augmentation(**augmentation)))


def shards(folder):
    return sorted(folder.rglob("*.safetensors"))


class TestFolder:
    @pytest.fixture(autouse=True)
    def two_clips_a_shard(self, monkeypatch):
        monkeypatch.setattr(frozen_store, "_SHARD_CLIPS", 2)

    @pytest.fixture
    def stopped(self, in_place, tmp_path):
        """Samples whose filling was stopped in the third of its four shards."""
        model, clips = make_model(method="ap-sam"), drawn(7)
        read = clips._read

        def stop_at_the_sixth(number):
            if number == 5:
                raise KeyboardInterrupt
            return read(number)

        clips._read = stop_at_the_sixth
        with pytest.raises(KeyboardInterrupt):
            in_place("folder", model, samples_of(model, clips))
        clips._read = read
        return model, samples_of(model, clips)

    def test_a_stopped_filling_goes_on(self, stopped, in_place, tmp_path):
        model, samples = stopped
        whole = {path.name: path.stat().st_mtime_ns for path in shards(tmp_path)}
        assert len(whole) == 2
        assert sorted(path.name for path in (tmp_path / "cache").glob("*/*")) == sorted(whole), "and nothing else"
        decoded, read = [], samples.clips._read
        samples.clips._read = lambda number: decoded.append(number) or read(number)
        frozen = in_place("folder", model, samples)
        assert decoded == [0, 4, 5, 6], "the first clip tells the size"
        assert {path.name: path.stat().st_mtime_ns for path in shards(tmp_path)}.items() > whole.items()
        expected = in_place("memory", model, samples)
        for number in range(7):
            assert_same(frozen[number], expected[number])

    def test_it_is_read_again_without_any_work(self, in_place):
        model, samples = make_model(method="ap-sam"), samples_of(make_model(), drawn())
        first = in_place("folder", model, samples)
        forbid((samples.clips, "_read"), (model.audio_encoder, "forward"), (model, "encode_frozen"))
        again = in_place("folder", model, samples)
        for number in range(5):
            assert_same(again[number], first[number])

    def test_a_lost_or_damaged_shard_is_written_again(self, in_place, tmp_path):
        model, samples = make_model(method="ap-sam"), samples_of(make_model(), drawn())
        frozen = in_place("folder", model, samples)
        expected, path = frozen[2], shards(tmp_path)[1]
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ValueError, match=r"000001.safetensors' cannot be read .*delete it, and it will be written"):
            frozen[2]
        path.unlink()
        assert_same(in_place("folder", model, samples)[2], expected)

    def test_a_row_is_read_without_its_shard(self, in_place, tmp_path):
        """Bytes of other rows may be spoilt: nobody looks at them."""
        model, samples = make_model(method="ap-sam"), samples_of(make_model(), drawn(2))
        frozen = in_place("folder", model, samples)
        expected = frozen.store.rows(0, [1])
        (path,) = shards(tmp_path)
        other = frozen.store.rows(1, [2])["image_embeddings"].numpy().tobytes()
        assert path.read_bytes().count(other) == 1
        path.write_bytes(path.read_bytes().replace(other, bytes(len(other))))
        assert_same(frozen.store.rows(0, [1]), expected)

    def test_the_index_says_what_it_is_of(self, in_place, tmp_path):
        model, samples = make_model(adapter_layers=[1, 3]), samples_of(make_model(), drawn())
        in_place("folder", model, samples)
        (path,) = tmp_path.rglob("index.json")
        index = json.loads(path.read_text())
        assert index["about"]["frozen_layers"] == 1
        assert index["about"]["data"].startswith("memory (test) ")
        assert index["tensors"] == ["audio", "image_tokens", "mask_labels"]
        assert index["clips"]["4"] == {"id": "clip 4", "frames": [f"clip 4 at {time:.2f} s" for time in scene().times]}


class TestStale:
    """What was kept of something else is never given out, and stays for whoever needs it."""

    @pytest.fixture
    def root(self, tmp_path):
        return write_dataset(scenes(length=2, frames=2), tmp_path / "data", "folder")

    def kept(self, accelerator, folder, model, clips):
        frozen = freeze(model, samples_of(model, clips), str(folder), accelerator=accelerator, batch_size=1)
        return frozen[0]

    @pytest.mark.parametrize(
        "other",
        [
            partial(make_model, method="ap-sam", image_size=128),
            partial(make_model, method="ap-sam", resize="pad"),
            partial(make_model, method="ap-sam", image_mean=[0.5, 0.5, 0.5]),
            partial(make_model, method="ap-sam", audio_window="centered"),
            partial(make_model, method="ap-sam", seed=1),
            partial(make_model, adapter_layers=[1]),
            partial(make_model, adapter_layers=[2]),
            lambda: make_model(method="ap-sam").half().float(),
        ],
        ids=["size", "resize", "mean", "window", "base", "tokens", "later tokens", "rounded weights"],
    )
    def test_another_model(self, accelerator, tmp_path, root, other):
        clips = open_dataset(root, "train")
        self.kept(accelerator, tmp_path / "cache", make_model(method="ap-sam"), clips)
        self.kept(accelerator, tmp_path / "cache", make_model(adapter_layers=[3]), clips)
        found = self.kept(accelerator, tmp_path / "cache", other(), clips)
        assert_same(found, self.kept(accelerator, tmp_path / "fresh", other(), clips))
        assert len(list((tmp_path / "cache").iterdir())) == 3

    def test_another_audio_encoder(self, accelerator, tmp_path, root):
        clips, model = open_dataset(root, "train"), make_model(method="ap-sam")
        first = self.kept(accelerator, tmp_path, model, clips)
        model.audio_encoder = TinyAudioEncoder(seed=1).requires_grad_(False)
        assert not torch.equal(self.kept(accelerator, tmp_path, model, clips)["audio"], first["audio"])

    def test_a_file_that_has_changed(self, accelerator, tmp_path, root):
        model, clips = make_model(method="ap-sam"), open_dataset(root, "train")
        first = self.kept(accelerator, tmp_path / "cache", model, clips)
        shutil.copy(clips.entries[1].video, clips.entries[0].video)
        clips = open_dataset(root, "train")
        changed = self.kept(accelerator, tmp_path / "cache", model, clips)
        assert not torch.equal(changed["image_embeddings"], first["image_embeddings"])
        assert_same(changed, self.kept(accelerator, tmp_path / "fresh", model, clips))

    def test_another_adapter_on_the_same_frozen_networks_shares_it(self, accelerator, tmp_path, root):
        clips = open_dataset(root, "train")
        self.kept(accelerator, tmp_path / "cache", make_model(adapter_layers=[2]), clips)
        model = make_model(adapter_layers=[2, 3], adapter_hidden_dim=64, loss="dice")
        forbid((model, "encode_frozen"))
        self.kept(accelerator, tmp_path / "cache", model, clips)


class TestRoom:
    Usage = namedtuple("Usage", "total used free")

    @pytest.mark.parametrize("place", ["memory", "folder"])
    def test_too_little_is_found_before_the_filling(self, in_place, monkeypatch, place):
        model, clips = make_model(method="ap-sam"), open_dataset("scenes:1000", "train", size=64, frames=3)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: self.Usage(0, 0, 10**6))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available")(10**6))
        decoded, read = [], clips._read
        clips._read = lambda number: decoded.append(number) or read(number)
        frame = 32 * 8 * 8 * 4 + 128 * 4 + 64 * 64  # embeddings of both kinds, and a mask
        with pytest.raises(
            ValueError, match=rf"takes about {3000 * frame / 1e9:.1f} GB, but .* has 0.0 GB free. Name a"
        ):
            in_place(place, model, samples_of(model, clips))
        assert decoded == [0]

    def test_only_what_is_missing_needs_room(self, in_place, monkeypatch):
        monkeypatch.setattr(frozen_store, "_SHARD_CLIPS", 1)
        model, samples = make_model(method="ap-sam"), samples_of(make_model(), drawn(40))
        frozen = in_place("folder", model, samples)
        shards(frozen.store.folder)[7].unlink()
        monkeypatch.setattr(shutil, "disk_usage", lambda _: self.Usage(0, 0, 60_000))
        in_place("folder", model, samples)

    def test_a_file_is_no_folder(self, accelerator, tmp_path):
        (tmp_path / "cache").write_text("")
        model = make_model(method="ap-sam")
        with pytest.raises(ValueError, match="is a file; name a folder, or memory"):
            freeze(model, samples_of(model, drawn()), str(tmp_path / "cache"), accelerator=accelerator)


def _process(rank, folder, port, queue):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    frozen_store._SHARD_CLIPS = 1
    accelerator = Accelerator(cpu=True)
    model = make_model(method="ap-sam")
    clips = drawn()
    decoded, read = [], clips._read
    clips._read = lambda number: decoded.append(number) or read(number)
    refusal = ""
    try:
        freeze(model, samples_of(model, clips), "memory", accelerator=accelerator)
    except ValueError as error:
        refusal = str(error)
    frozen = freeze(model, samples_of(model, clips), folder, accelerator=accelerator, batch_size=1)
    queue.put((rank, refusal, decoded, pickle.dumps([frozen[number] for number in range(len(clips))])))
    accelerator.end_training()


def test_two_processes_fill_a_folder_together(tmp_path, in_place, free_port):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_process, args=(rank, str(tmp_path / "two"), free_port, queue)) for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    found = {rank: rest for rank, *rest in (queue.get(timeout=400) for _ in workers)}
    for worker in workers:
        worker.join()
    model, clips = make_model(method="ap-sam"), drawn()
    expected = in_place("memory", model, samples_of(model, clips))
    for rank, own in ((0, [0, 2, 4]), (1, [1, 3])):
        refusal, decoded, kept = found[rank]
        assert "each of 2 processes would need all clips" in refusal and "Name a folder" in refusal
        assert decoded == [0, *own], "the first clip tells the size"
        for number, sample in enumerate(pickle.loads(kept)):
            assert_same(sample, expected[number])


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
