"""Results of processes merge exactly, by batch index, for every metric."""

import pytest
import torch

from sam_av.metrics import AVSS, PROTOCOLS, AVSBench

METRICS = {name: lambda name=name: AVSBench(name) for name in PROTOCOLS} | {"avss": lambda: AVSS(5)}


def batch(metric, seed=0):
    """A batch that the metric takes: logits, and masks or labels."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(metric, AVSS):
        logits = torch.randn(4, 5, 9, 9, generator=generator)
        return logits, (logits[:, :4] + torch.randn(4, 4, 9, 9, generator=generator)).argmax(1)
    logits = 4 * torch.randn(4, 9, 9, generator=generator)
    return logits, torch.rand(4, 9, 9, generator=generator) < logits.sigmoid()


@pytest.mark.parametrize("name", METRICS)
def test_merged_processes_give_exactly_the_same_scores(name):
    alone, workers = METRICS[name](), [METRICS[name]() for _ in range(2)]
    for index in range(7):
        logits, truth = batch(alone, seed=index)
        alone.update(logits, truth)
        workers[index % 2].update(logits, truth, index=index)
    merged = METRICS[name]().merge(worker.state() for worker in reversed(workers))
    assert merged.compute() == alone.compute()
    assert merged.compute() != workers[0].compute()


def test_tables_merge_in_the_order_of_the_batches():
    alone, workers = AVSBench(), [AVSBench(), AVSBench()]
    for index in range(4):
        names = {"videos": [f"v{index}"] * 4, "categories": ["dog", "cat", "dog", "dog"]}
        logits, masks = batch(alone, seed=index)
        alone.update(logits, masks, **names)
        workers[index % 2].update(logits, masks, **names, index=index)
    merged = AVSBench().merge([worker.state() for worker in reversed(workers)])
    assert [row["video"] for row in merged.per_video()] == ["v0", "v1", "v2", "v3"]
    assert merged.per_video() == alone.per_video()
    assert merged.per_category() == alone.per_category()


@pytest.mark.parametrize("name", METRICS)
def test_state_is_plain_data(name, tmp_path):
    metric = METRICS[name]()
    metric.update(*batch(metric))
    torch.save(metric.state(), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert METRICS[name]().merge([loaded]).compute() == metric.compute()


def test_a_batch_counts_once():
    metric = AVSBench()
    metric.update(*batch(metric), index=3)
    with pytest.raises(ValueError, match="batch 3 has been counted already"):
        metric.update(*batch(metric), index=3)
    with pytest.raises(ValueError, match="batch 3 has been counted already"):
        AVSBench().merge([metric.state(), metric.state()])


@pytest.mark.parametrize("pair", [(AVSBench("avsbench"), AVSBench("sama")), (AVSS(5), AVSS(5, count_padded=True))])
def test_settings_do_not_mix(pair):
    metric, other = pair
    other.update(*batch(other))
    with pytest.raises(ValueError, match="Only results of the same settings can be merged"):
        metric.merge([other.state()])
