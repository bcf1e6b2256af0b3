"""Fully sharded training where torch allows it without a GPU: two processes, gloo, all of the model in shards."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import make_model
from safetensors.torch import load_file
from test_model import batch
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor


def steps(model, inputs, optimizer):
    model.train()
    for _ in range(2):
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def half(inputs, rank):
    size = len(inputs["pixel_values"]) // 2
    return {key: value[rank * size : (rank + 1) * size] for key, value in inputs.items()}


def train_sharded(rank, folder, rendezvous):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    model = make_model()
    fully_shard(model)
    assert all(isinstance(weight, DTensor) for weight in model.parameters())
    # A plain SGD: what Adam makes of gradients near zero depends on their last bits.
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    steps(model, half(batch(frames=4), rank), optimizer)
    model.save_pretrained(folder, is_main_process=rank == 0)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="torch was built without gloo")
def test_two_sharded_processes_train_and_save_what_one_does(tmp_path):
    mp.spawn(train_sharded, args=(tmp_path / "sharded", tmp_path / "rendezvous"), nprocs=2)
    model = make_model()
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    steps(model, batch(frames=4), optimizer)
    model.save_pretrained(tmp_path / "whole")
    sharded, whole = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("sharded", "whole"))
    assert sharded.keys() == whole.keys()
    for name, weight in whole.items():
        assert torch.allclose(sharded[name], weight, atol=1e-5), name
