"""Masks of a clip, from frames and waveform to full size: ours against the published path, and where the time goes.

`python benchmarks/predict.py`
"""

from collections.abc import Callable
from functools import partial

import bench
import torch
from published import published_logits, random_sam
from torch import Tensor
from torch.nn import functional as F

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish, frame_windows
from sam_av.audio_cache import embed_audio
from sam_av.data import Scenes
from sam_av.predictors import ModelPredictor

PUBLISHED = "published path, frame by frame"
FRAME_SIZE = 720  # pixels of the clip's frames


class Prediction:
    """The ways to the masks of one clip."""

    def __init__(self, way: str, model: str, size: int, frames: int, device: str) -> None:
        published = way == PUBLISHED
        sam = random_sam(model, size, "eager" if published else "sdpa")
        dtype = torch.float32 if published else "auto"
        self.model = SamAV.from_base(
            sam, SamAVConfig(image_size=size), audio_encoder=VGGish(), device=device, dtype=dtype
        ).eval()
        self.clip = Scenes(size=FRAME_SIZE, frames=frames, length=1)[0]
        batch = frames if way == ours(frames) else 1
        self.predict = self.published if published else partial(self.ours, ModelPredictor(self.model, batch_size=batch))

    def ours(self, predictor: ModelPredictor) -> Tensor:
        return predictor.predict(self.clip, (FRAME_SIZE, FRAME_SIZE))

    @torch.no_grad()
    def published(self) -> Tensor:
        processor, clip = self.model.processor, self.clip
        masks = []
        for frame, time in zip(clip.frames, clip.times, strict=True):
            inputs = processor(frame, clip.waveform, 16_000, times=[time]).to(self.model.device)
            logits = published_logits(self.model, inputs["pixel_values"], inputs["audio"])
            masks.append(F.interpolate(logits[None], (FRAME_SIZE, FRAME_SIZE), mode="bilinear")[0, 0])
        return torch.stack(masks)


def ours(batch: int) -> str:
    return f"sam-av, batches of {batch}"


class Stages:
    """What our prediction of a batch of frames consists of, each part to be called by itself."""

    def __init__(self, prediction: Prediction, batch: int) -> None:
        self.model, self.clip = prediction.model, prediction.clip
        self.frames = list(self.clip.frames[:batch])
        self.times = self.clip.times[:batch]
        self.pixels = self.model.processor(self.frames)["pixel_values"].to(self.model.device)
        self.features = self.log_mels().to(self.model.device)
        with torch.inference_mode():
            self.embeddings = embed_audio(self.model.audio_encoder, self.clip.waveform, self.times, "example")
            output = self.model(self.pixels, self.embeddings)
            self.image_embeddings, self.logits = output.image_embeddings, output.mask_logits

    def calls(self) -> dict[str, Callable[[], object]]:
        return {
            "log-mels": self.log_mels,
            "VGGish": lambda: self.model.audio_encoder(self.features),
            "pictures to the input's size": lambda: self.model.processor(self.frames),
            "adapter, encoder and decoder": lambda: self.model(self.pixels, self.embeddings),
            "of these, the decoder": self.decode,
            "masks to the pictures' size": self.enlarge,
        }

    def log_mels(self) -> Tensor:
        encoder = self.model.audio_encoder
        return encoder.front_end(frame_windows(self.clip.waveform, self.times, "example", encoder.window_samples))

    def decode(self) -> object:
        with self.model.disable_adapter():  # the base's decoder has the shape of the adapter's
            return self.model(image_embeddings=self.image_embeddings)

    def enlarge(self) -> object:
        sizes = [(FRAME_SIZE, FRAME_SIZE)] * len(self.logits)
        return self.model.processor.post_process_masks(self.logits, sizes, binarize=False)


def compare(options, size: int) -> list[list[object]]:
    """A row for each way: milliseconds a frame."""
    frames, device = options.batch, options.device
    ways = {way: Prediction(way, options.model, size, frames, device) for way in (PUBLISHED, ours(1), ours(frames))}
    seconds = bench.interleaved_seconds({way: p.predict for way, p in ways.items()}, options.repeats, device)
    masks = {way: prediction.predict().float().cpu() for way, prediction in ways.items()}
    reference = masks[PUBLISHED]
    return [
        [
            size,
            way,
            f"{1000 * seconds[way] / frames:.0f}",
            f"{seconds[PUBLISHED] / seconds[way]:.2f}",
            f"{((masks[way] - reference).abs().max() / reference.abs().max()).item():.0e}",
        ]
        for way in ways
    ]


@torch.inference_mode()
def take_apart(options, size: int) -> list[list[object]]:
    """A row for each stage: milliseconds a frame, alone and in a batch."""
    frames, device = options.batch, options.device
    prediction = Prediction(ours(frames), options.model, size, frames, device)
    alone, together = (
        bench.interleaved_seconds(Stages(prediction, batch).calls(), options.repeats, device) for batch in (1, frames)
    )
    return [[size, stage, f"{1000 * alone[stage]:.1f}", f"{1000 * together[stage] / frames:.1f}"] for stage in alone]


def main():
    parser = bench.arguments(__doc__.splitlines()[0])
    parser.set_defaults(batch=5)
    options = parser.parse_args()
    compared = [row for size in options.sizes for row in compare(options, size)]
    parts = [row for size in options.sizes for row in take_apart(options, size)]
    dtypes = "sam-av with a bfloat16 encoder, the published path float32" if options.device == "cuda" else "float32"
    ways_head = ["px", "way", "ms a frame", "x published path", "difference of logits"]
    stages_head = ["px", "stage", "ms, one frame", f"ms a frame in batches of {options.batch}"]
    bench.write(
        f"predict-{options.model}-{options.device}",
        f"# The masks of a clip: {options.model}, {dtypes}\n\n"
        f"{bench.machine(options.device)}. Random weights; {options.batch} frames of {FRAME_SIZE} px with their sound, "
        "from arrays in memory to logits of the frames' size. Medians of "
        f"{options.repeats} interleaved runs.\n\n{bench.table(ways_head, compared)}\n\n"
        f"Where sam-av's time goes:\n\n{bench.table(stages_head, parts)}",
    )


if __name__ == "__main__":
    main()
