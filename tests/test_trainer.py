"""transformers' own Trainer trains a SamAV; its checkpoints hold the adapter only, and it resumes from them."""

import warnings

import pytest
import torch
from conftest import make_model
from safetensors.torch import load_file
from test_model import batch
from transformers import Trainer, TrainingArguments


class Frames(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {key: value[index] for key, value in batch(frames=8).items()}


def make_trainer(folder, model, **arguments):
    settings = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=2,
        max_steps=4, save_steps=2, learning_rate=1e-3,
        report_to=["tensorboard"], use_cpu=True, label_names=["mask_labels"], seed=0, disable_tqdm=True,
        logging_steps=1,
        **arguments,
    )  # fmt: skip
    return Trainer(model=model, args=settings, train_dataset=Frames(), eval_dataset=Frames())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainer")
    model = make_model()
    trainer = make_trainer(folder, model)
    trainer.train()
    return folder, model, trainer


def test_checkpoints_hold_the_adapter_only(trained):
    folder, model, _ = trained
    tensors = load_file(folder / "checkpoint-4" / "model.safetensors")
    assert tensors.keys() == model.state_dict().keys()
    assert all(name.startswith("adapters.default.") for name in tensors)


def test_loss_falls_and_evaluation_runs(trained):
    *_, trainer = trained
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < losses[0]
    assert trainer.evaluate()["eval_loss"] < losses[0]


def test_resuming_gives_the_same_weights_with_checkpointed_layers_too(trained, tmp_path):
    folder, model, _ = trained
    again = make_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Trainer's own remarks on its saved random states
        make_trainer(tmp_path, again, gradient_checkpointing=True).train(
            resume_from_checkpoint=str(folder / "checkpoint-2")
        )
    for name, weight in model.state_dict().items():
        assert torch.allclose(again.state_dict()[name], weight, atol=1e-7), name
