"""How much faster the F-score is by one histogram than by 255 passes: `python benchmarks/metrics.py`.

Both are timed in turn, so that a slow moment of the machine meets both, and must give the same score.
"""

from functools import partial

import bench
import torch

from sam_av.metrics import f_measure

REPEATS = 5
CASES = ((20, 224), (5, 1024))  # frames, pixels a side: a batch of AVSBench, a video at SAM's size


def plain_f_measure(logits, masks):
    """The definition as it reads: each frame and each threshold in a pass of its own."""
    probabilities, masks = logits.sigmoid(), masks.float()
    thresholds = torch.linspace(0, 1 - 1e-10, 255)
    curves = []
    for probability, mask in zip(probabilities, masks, strict=True):
        true = mask.sum()
        if true == 0:
            continue
        precision, recall = torch.zeros(255), torch.zeros(255)
        for k, threshold in enumerate(thresholds):
            chosen = (probability >= threshold).float()
            hits = (chosen * mask).sum()
            precision[k], recall[k] = hits / (chosen.sum() + 1e-20), hits / (true + 1e-20)
        curves.append((1.3 * precision * recall / (0.3 * precision + recall)).nan_to_num(0.0))
    return torch.stack(curves).mean(0).max().item()


def frames(count, size):
    """Soft discs and their noisy truth, with logits far into the saturation of the sigmoid."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, size)
    radius = torch.hypot(axis[:, None], axis[None, :])
    logits = 30 * (torch.rand(count, 1, 1, generator=generator) - radius)
    logits += 4 * torch.randn(logits.shape, generator=generator)
    return logits, radius < torch.rand(count, 1, 1, generator=generator)


def main():
    rows = []
    for count, size in CASES:
        batch = frames(count, size)
        difference = abs(plain_f_measure(*batch) - f_measure(*batch))
        if difference > 1e-6:
            raise SystemExit(f"The two scores differ by {difference}.")
        calls = {"plain": partial(plain_f_measure, *batch), "fast": partial(f_measure, *batch)}
        times = bench.interleaved_seconds(calls, REPEATS, "cpu")
        plain, fast = 1000 * times["plain"], 1000 * times["fast"]
        rows.append([count, f"{size} x {size}", f"{plain:.0f}", f"{fast:.1f}", f"{plain / fast:.0f}x"])
    head = ["frames", "pixels", "255 passes, ms", "histogram, ms", "ratio"]
    title = "# F-score of one batch"
    notes = f"{bench.machine('cpu')}. Medians of {REPEATS} interleaved runs."
    bench.write("metrics-cpu", f"{title}\n\n{notes}\n\n{bench.table(head, rows)}")


if __name__ == "__main__":
    main()
