"""The loss: its terms against plain sums, masks of any size, unannotated and empty frames, several processes."""

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn import functional as F

from sam_av import losses
from sam_av.config import LOSS_TERMS, SamAVConfig
from sam_av.losses import TERMS, mask_loss


def example(frames=3, size=16):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(frames, size, size, generator=generator)
    return logits, (torch.rand(frames, size, size, generator=generator) > 0.6).float()


def plain_bce(p, g):
    return -(g * p.log() + (1 - g) * (1 - p).log()).mean()


def plain_iou(p, g):
    return 1 - (p * g).sum() / ((p + g).sum() - (p * g).sum())


def plain_dice(p, g):
    return 1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1)


def plain_focal(p, g):
    right = g * p + (1 - g) * (1 - p)
    return (-(0.25 * g + 0.75 * (1 - g)) * (1 - right) ** 2 * right.log()).mean()


@pytest.mark.parametrize(
    ("name", "plain"), [("bce", plain_bce), ("iou", plain_iou), ("dice", plain_dice), ("focal", plain_focal)]
)
def test_terms(name, plain):
    logits, masks = example()
    expected = torch.stack([plain(p, g) for p, g in zip(logits.double().sigmoid(), masks.double(), strict=True)])
    assert torch.allclose(TERMS[name](logits, masks).double(), expected, atol=1e-6)


def test_default_is_the_published_sum():
    logits, masks = example()
    assert torch.allclose(mask_loss(logits, masks), (TERMS["bce"](logits, masks) + TERMS["iou"](logits, masks)).mean())


def test_false_alarms_weigh_more_where_the_truth_is_empty_and_nothing_changes_elsewhere():
    logits, masks = example()
    masks[1] = 0
    expected = torch.stack([torch.tensor(0.0), 10 * plain_bce(logits[1].sigmoid(), masks[1]), torch.tensor(0.0)])
    assert torch.allclose(TERMS["empty"](logits, masks), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64])
def test_masks_of_any_size_and_type(dtype):
    logits, _ = example()
    masks = torch.zeros(3, 37, 53)
    masks[:, 5:20, 8:30] = 1
    upsampled = F.interpolate(logits[:, None], (37, 53), mode="bilinear")[:, 0]
    assert torch.allclose(mask_loss(logits, masks.to(dtype)), mask_loss(upsampled, masks))


def plain_mask_loss(logits, masks):
    """The default loss of all frames at once, as one writes it down."""
    upsampled = F.interpolate(logits[:, None], masks.shape[-2:], mode="bilinear")[:, 0]
    return (TERMS["bce"](upsampled, masks) + TERMS["iou"](upsampled, masks)).mean()


def test_frames_a_few_at_a_time_equal_all_at_once(monkeypatch):
    monkeypatch.setattr(losses, "_PIXELS", 2 * 64 * 64)
    ours, plain = (example(frames=5)[0].requires_grad_() for _ in range(2))
    _, masks = example(frames=5, size=64)
    loss, expected = mask_loss(ours, masks), plain_mask_loss(plain, masks)
    loss.backward()
    expected.backward()
    assert torch.allclose(loss, expected, atol=1e-6)
    assert torch.allclose(ours.grad, plain.grad, atol=1e-8)


def test_nothing_of_full_size_but_the_masks_is_kept_for_the_backward_pass():
    logits, masks = example(frames=2)[0].requires_grad_(), example(frames=2, size=128)[1]

    def kept(loss):
        """The values that the graph of a loss holds."""
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            loss(logits, masks)
        return sum(sizes)

    assert kept(plain_mask_loss) > 3 * masks.numel()
    assert kept(mask_loss) < masks.numel() + 2 * logits.numel()


def test_unannotated_frames_carry_no_loss():
    logits, masks = example()
    masks[1] = -1
    logits.requires_grad_()
    loss = mask_loss(logits, masks)
    assert torch.allclose(loss, mask_loss(logits[[0, 2]], masks[[0, 2]]))
    loss.backward()
    assert not logits.grad[1].any() and logits.grad[0].any()


def test_no_annotated_frame_at_all():
    logits, masks = example()
    logits.requires_grad_()
    loss = mask_loss(logits, torch.full_like(masks, -1))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_empty_truth_leaves_out_the_iou_term():
    """Also where the sigmoid underflows, and the term would be 0 / 0."""
    logits, masks = torch.full((2, 8, 8), -200.0, requires_grad=True), torch.zeros(2, 8, 8)
    loss = mask_loss(logits, masks)
    loss.backward()
    assert loss == 0 and logits.grad.isfinite().all()


def test_masks_stored_as_255():
    logits, masks = example()
    assert torch.equal(mask_loss(logits, masks.to(torch.uint8) * 255), mask_loss(logits, masks))


def test_the_configuration_knows_the_terms():
    assert set(LOSS_TERMS) == set(TERMS)
    with pytest.raises(ValueError, match="each term of loss must be one of bce, iou, empty, dice, focal, not 'iuo'"):
        SamAVConfig(loss="bce+iuo")


def _process(rank, folder, queue):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    logits, masks = example(frames=4)
    masks[:2] = -1
    logits, masks = logits[2 * rank : 2 * rank + 2], masks[2 * rank : 2 * rank + 2]
    logits.requires_grad_()
    mask_loss(logits, masks, across_processes=True).backward()
    queue.put((rank, logits.grad.numpy()))
    distributed.destroy_process_group()


def test_mean_is_over_the_annotated_frames_of_all_processes(tmp_path):
    """One process has two unannotated frames, the other two annotated: averaged gradients equal one process's."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_process, args=(rank, tmp_path, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    gradients = dict(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    logits, masks = example(frames=4)
    masks[:2] = -1
    logits.requires_grad_()
    mask_loss(logits, masks).backward()
    # Distributed training averages the processes' gradients of shared weights: half of each one's.
    together = torch.cat([torch.from_numpy(gradients[rank]) for rank in range(2)]) / 2
    assert torch.allclose(together, logits.grad, atol=1e-7)
