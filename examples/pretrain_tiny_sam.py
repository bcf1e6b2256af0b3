"""Pre-trains the tiny frozen networks of the demo from scratch: a class-agnostic SAM and a classifier of sounds.

    python examples/pretrain_tiny_sam.py --output outputs/tiny

Both learn from drawn scenes (`sam_av.data.Scenes`) that no demo adapter trains or is tested on. The SAM learns, as SAM
did, to give the mask of whatever a click or a box points at, without a notion of classes. The audio encoder is a narrow
VGGish that learns which of the twelve classes are in a mix of sounds; its classifier is thrown away.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import save_file
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import SamConfig, SamModel, get_cosine_schedule_with_warmup

from sam_av.audio import VGGish
from sam_av.data import Scenes, SceneSettings
from sam_av.data.scenes import CATEGORIES
from sam_av.data.scenes.timbres import play
from sam_av.sam import decode_masks, encode_image, encode_prompts, grid_positions

SIZE, PATCH, CHANNELS = 128, 8, 64
AUDIO_WIDTHS, AUDIO_HIDDEN = (8, 16, 32, 64), 128
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
FRAMES_A_SCENE, PROMPTS_AN_IMAGE, BATCH = 2, 4, 16


# ------------------------------------------------------------------------------------------------------------- the SAM


def build_sam() -> SamModel:
    """An untrained SAM of two million parameters; masks have half the resolution of the 128 px input."""
    config = SamConfig(
        vision_config={
            "image_size": SIZE,
            "patch_size": PATCH,
            "hidden_size": 192,
            "num_hidden_layers": 6,
            "num_attention_heads": 3,
            "mlp_dim": 384,
            "window_size": 8,  # divides the 16 x 16 grid, so no window is padded
            "global_attn_indexes": [2, 5],
            "output_channels": CHANNELS,
            "num_pos_feats": CHANNELS // 2,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={"hidden_size": CHANNELS, "image_size": SIZE, "patch_size": PATCH},
        mask_decoder_config={"hidden_size": CHANNELS, "mlp_dim": 256, "iou_head_hidden_dim": 128},
    )
    # Heads of eight values gain nothing from fused attention kernels, whose backward pass is slow on a CPU.
    sam = SamModel._from_config(config, attn_implementation="eager")
    # transformers scales this random matrix for another use of it; at 1, as in SAM, angles stay learnable.
    nn.init.normal_(sam.shared_image_embedding.positional_embedding)
    return sam


class ScenePictures(Dataset):
    """Pictures of scenes, each with a map of its objects: (T, 3, S, S) uint8 and (T, S, S) uint8, 0 for background."""

    def __init__(self, split: str, length: int, frames: int) -> None:
        settings = SceneSettings(size=SIZE, frames=frames, objects=(2, 6), sources=(1, 1))
        self.scenes = Scenes(settings, length=length, split=split)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        scene = self.scenes.scene(index)
        objects = np.zeros(scene.frames.shape[:3], np.uint8)
        for number, thing in enumerate(scene.objects, start=1):
            objects[thing.masks] = number
        return torch.from_numpy(scene.frames).permute(0, 3, 1, 2), torch.from_numpy(objects)


def draw(split: str, length: int, frames: int, workers: int) -> tuple[Tensor, Tensor]:
    """All pictures (N, 3, S, S) and object maps (N, S, S) of a split, drawn once and kept."""
    loader = DataLoader(ScenePictures(split, length, frames), batch_size=None, num_workers=workers)
    # What workers hand over lies in shared memory and holds an open file; a copy gives it back.
    drawn = [(some.clone(), maps.clone()) for some, maps in tqdm(loader, desc=f"Drawing {split} scenes", unit="scene")]
    pictures, objects = zip(*drawn, strict=True)
    return torch.cat(pictures), torch.cat(objects)


def to_pixel_values(pictures: Tensor) -> Tensor:
    """(B, 3, S, S) uint8 -> normalised floats."""
    return (pictures.float() / 255 - MEAN[:, None, None]) / STD[:, None, None]


def choose_targets(objects: Tensor, prompts: int) -> Tensor:
    """For each picture some of its objects, at random: object maps (B, S, S) -> masks (B, P, S, S) bool."""
    present = torch.stack([objects.eq(number).flatten(1).any(1) for number in range(1, int(objects.max()) + 1)], dim=1)
    chosen = torch.multinomial(present.float(), prompts, replacement=True) + 1
    return objects[:, None] == chosen[..., None, None]


def random_points(masks: Tensor, count: int) -> Tensor:
    """Points inside of masks (B, P, S, S) -> (B, P, count, 2), x and y in pixels."""
    flat = masks.flatten(2)
    weights = flat.float() + 1e-9 * ~flat.any(-1, keepdim=True)  # an empty mask gives points anywhere
    places = torch.multinomial(weights.flatten(0, 1), count, replacement=True).view(*masks.shape[:2], count)
    return torch.stack([places % masks.shape[-1], places // masks.shape[-1]], dim=-1).float()


def boxes_of(masks: Tensor) -> Tensor:
    """Boxes around masks (B, P, S, S), each side off by up to a tenth of the box -> (B, P, 4)."""
    sides = []
    for axis in (2, 3):  # columns, then rows
        hit = masks.any(dim=axis).float()
        first, last = hit.argmax(-1), hit.shape[-1] - 1 - hit.flip(-1).argmax(-1)
        slack = 0.1 * (last - first + 1)[..., None] * (2 * torch.rand(*first.shape, 2) - 1)
        sides.append(torch.stack([first, last + 1], dim=-1) + slack)
    (left, right), (top, bottom) = sides[0].unbind(-1), sides[1].unbind(-1)
    return torch.stack([left, top, right, bottom], dim=-1).clamp(0, SIZE)


def predict(sam: SamModel, pictures: Tensor, prompts: dict[str, Tensor], *, multimask: bool) -> tuple[Tensor, Tensor]:
    """Mask logits (B, P, masks, S / 2, S / 2) and their predicted IoU (B, P, masks) for P prompts a picture."""
    embeddings = encode_image(sam.vision_encoder, to_pixel_values(pictures))
    points, labels, boxes = (prompts.get(name) for name in ("points", "labels", "boxes"))
    sparse, dense = sam.prompt_encoder(points, labels, boxes, None)
    positions = grid_positions(sam.shared_image_embedding.positional_embedding, embeddings.shape[-1])
    return sam.mask_decoder(
        image_embeddings=embeddings,
        image_positional_embeddings=positions.expand(len(embeddings), -1, -1, -1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense[:1].expand(len(embeddings), -1, -1, -1),
        multimask_output=multimask,
    )


def random_prompts(masks: Tensor, objects: Tensor) -> tuple[dict[str, Tensor], bool]:
    """Prompts of one kind for masks (B, P, S, S), and whether SAM shall answer with three masks, as for lone clicks."""
    kind = torch.rand(()).item()
    if kind < 0.5:
        points = random_points(masks, 1)
        return {"points": points, "labels": torch.ones(points.shape[:3])}, kind < 0.25
    if kind < 0.75:
        return {"boxes": boxes_of(masks)}, False
    inside, beside = random_points(masks, 2), random_points(~masks, 1)
    labels = torch.tensor([1.0, 1.0, 0.0]).expand(*masks.shape[:2], 3)
    return {"points": torch.cat([inside, beside], dim=2), "labels": labels}, False


def sam_loss(logits: Tensor, quality: Tensor, masks: Tensor) -> Tensor:
    """BCE + dice of the best of each prompt's masks, and how far their predicted IoU is off.

    `logits` (B, P, M, s, s), `quality` (B, P, M), `masks` (B, P, S, S) bool.
    """
    truth = F.avg_pool2d(masks.float(), masks.shape[-1] // logits.shape[-1])[:, :, None].expand_as(logits)
    bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((-1, -2))
    probabilities = logits.sigmoid()
    overlap = (probabilities * truth).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (probabilities.sum((-1, -2)) + truth.sum((-1, -2)) + 1)
    with torch.no_grad():
        hit, true = logits > 0, truth > 0.5
        iou = (hit & true).sum((-1, -2)) / (hit | true).sum((-1, -2)).clamp(min=1)
    return (4 * bce + dice).min(dim=-1).values.mean() + F.mse_loss(quality, iou)


def train_sam(steps: int, scenes: int, workers: int, accelerator: Accelerator) -> SamModel:
    """Trains the SAM; half of the pictures of a batch are mirrored."""
    sam = build_sam()
    print(f"{sum(weight.numel() for weight in sam.parameters()):,} parameters")
    pictures, objects = draw("pretrain", scenes, FRAMES_A_SCENE, workers)
    optimizer = torch.optim.AdamW(sam.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.05)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    bar = tqdm(range(steps), desc="Training the SAM", mininterval=10)
    running = 0.0
    for step in bar:
        rows = torch.randint(len(pictures), (BATCH,))
        mirror = slice(None, BATCH // 2)
        batch, maps = pictures[rows], objects[rows]
        batch[mirror], maps[mirror] = batch[mirror].flip(-1), maps[mirror].flip(-1)
        masks = choose_targets(maps, PROMPTS_AN_IMAGE)
        prompts, multimask = random_prompts(masks, maps)
        with accelerator.autocast():
            logits, quality = predict(sam, batch, prompts, multimask=multimask)
        loss = sam_loss(logits.float(), quality.float(), masks)
        loss.backward()
        nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        running = 0.98 * running + 0.02 * loss.item()
        bar.set_postfix(loss=f"{running / (1 - 0.98 ** (step + 1)):.3f}", refresh=False)
        if (step + 1) % 500 == 0:
            tqdm.write(f"step {step + 1}: {click_iou(sam, scenes=50):.3f} IoU of one click, validation scenes")
    return sam


@torch.inference_mode()
def click_iou(sam: SamModel, scenes: int, split: str = "val") -> float:
    """The mean IoU of SAM's one mask for one click on each object of held-out scenes, at its most inner point."""
    ious = []
    for pictures, objects in (ScenePictures(split, scenes, frames=1)[k] for k in range(scenes)):
        masks = torch.stack([objects[0] == number for number in range(1, int(objects.max()) + 1)])
        inner = [distance_transform_edt(np.pad(mask.numpy(), 1)).argmax() for mask in masks]
        points = torch.tensor([[(place % (SIZE + 2)) - 1, place // (SIZE + 2) - 1] for place in inner])
        tokens = encode_prompts(
            sam.prompt_encoder, sam.shared_image_embedding.positional_embedding, points[:, None], None, None
        )
        embeddings = encode_image(sam.vision_encoder, to_pixel_values(pictures)).expand(len(masks), -1, -1, -1)
        positions = grid_positions(sam.shared_image_embedding.positional_embedding, SIZE // PATCH)
        logits, _ = decode_masks(
            sam.mask_decoder, embeddings, positions, tokens, sam.prompt_encoder.no_mask_embed.weight
        )
        hit = F.interpolate(logits[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0] > 0
        ious += ((hit & masks).sum((1, 2)) / (hit | masks).sum((1, 2))).tolist()
    return float(np.mean(ious))


# ---------------------------------------------------------------------------------------------------- the audio encoder


class Mixes(Dataset):
    """Windows of sound with none to three of the classes in it: log-mels (1, 96, 64), and which classes (12,)."""

    def __init__(self, seed: int, length: int, encoder: VGGish) -> None:
        self.seed = seed
        self.length = length
        self.front_end = encoder.front_end

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, index))
        heard = rng.permutation(len(CATEGORIES))[: rng.integers(0, 4)]
        n = self.front_end.window_samples
        sound = np.zeros(n, np.float32)
        for k in heard:
            start = rng.integers(0, n)
            sound += play(CATEGORIES[k], rng, 2 * n)[start : start + n]
        sound /= max(1.0, float(np.abs(sound).max()))
        truth = torch.zeros(len(CATEGORIES))
        truth[torch.from_numpy(heard)] = 1
        return self.front_end(torch.from_numpy(sound)[None])[0], truth


def train_audio(examples: int, workers: int) -> tuple[VGGish, float]:
    """Trains the audio encoder as a classifier, and tells how many of unheard mixes it gets right as a whole."""
    encoder = VGGish(AUDIO_WIDTHS, AUDIO_HIDDEN)
    network = nn.Sequential(encoder, nn.Linear(encoder.audio_dim, len(CATEGORIES)))
    encoder.pretrained = True  # it is what is being trained
    loader = DataLoader(Mixes(0, examples, encoder), batch_size=64, num_workers=workers)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, len(loader) // 20, len(loader))
    for features, truth in tqdm(loader, desc="Training the audio encoder", mininterval=10):
        F.binary_cross_entropy_with_logits(network(features), truth).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    with torch.inference_mode():
        tested = [((network(x) > 0) == (y > 0)).all(1) for x, y in DataLoader(Mixes(1, 2000, encoder), batch_size=100)]
    return encoder, torch.cat(tested).float().mean().item()


# --------------------------------------------------------------------------------------------------------- to the disk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/tiny"))
    parser.add_argument("--part", choices=["sam", "audio", "both"], default="both")
    parser.add_argument("--steps", type=int, default=6000, help="of the SAM, 16 pictures with 4 prompts each")
    parser.add_argument("--scenes", type=int, default=20_000, help="that the SAM sees, two pictures of each")
    parser.add_argument("--sounds", type=int, default=60_000, help="mixes that the audio encoder hears")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    accelerator = Accelerator(mixed_precision="bf16", cpu=True)
    set_seed(0)
    begin = time.monotonic()
    facts: dict[str, float] = {}
    if options.part != "sam":
        encoder, facts["mixes right"] = train_audio(options.sounds, options.workers)
        folder = options.output / "demo-audio"
        folder.mkdir(parents=True, exist_ok=True)
        half = {name: weight.half().contiguous() for name, weight in encoder.state_dict().items()}
        save_file(half, folder / "model.safetensors")
    if options.part != "audio":
        sam = train_sam(options.steps, options.scenes, options.workers, accelerator).half().float()
        facts["click IoU, test"] = click_iou(sam, scenes=200, split="test")
        sam.half().save_pretrained(options.output / "demo")
    print(json.dumps({**facts, "minutes": (time.monotonic() - begin) / 60}, indent=1))


if __name__ == "__main__":
    main()
