"""What an adapter is, as text: for `sam-av info`."""

from .card import adapter_facts
from .columns import align
from .contents import describe_contents, read_contents
from .digest import digest_tensors
from .model import SamAV
from .storage import fetch_adapter, read_config

_NOT_STATED = "not stated"


def describe_adapter(name: str) -> str:
    """An adapter as its own files tell of it; its base is not loaded."""
    folder = fetch_adapter(name)
    config = read_config(folder)
    tensors = read_contents(folder, config)
    card = config.card
    revision = f" at {config.base_revision}" if config.base_revision else ""
    facts = {
        "adapter": name,
        "base": f"{config.base_model_name_or_path or 'without a public name'}{revision}, "
        f"{config.base_num_layers} layers of width {config.base_hidden_size}",
        **adapter_facts(config),
        "licence": f"{card.license or _NOT_STATED} (base: {card.base_license or _NOT_STATED}, training data: "
        f"{card.data_license or _NOT_STATED}, converted checkpoint: {card.checkpoint_license or _NOT_STATED})",
        "trained on": ", ".join(card.training_data) or _NOT_STATED,
        "categories": ", ".join(card.training_categories) or _NOT_STATED,
    }
    for row in card.metrics:
        facts[f"{row['dataset']} ({row['split']})"] = (
            f"mIoU {100 * row['miou']:.2f}, F {100 * row['f_score']:.2f} by the protocol {row['protocol']} at "
            f"{row['image_size']} px"
        )
    fingerprints = {
        "weights": digest_tensors(tensors),
        "base": config.base_fingerprint or "none",
        "audio encoder": config.audio_encoder_fingerprint or "none",
    }
    return "\n\n".join([align(facts), describe_contents(tensors), "Fingerprints\n" + align(fingerprints)])


def verify_adapter(name: str, *, base: str | None = None, audio_encoder: str | None = None) -> str:
    """Loads an adapter with its frozen networks, which must have the weights that it names, and counts parameters."""
    model = SamAV.from_pretrained(name, base=base, audio_encoder=audio_encoder, device="cpu")
    return f"The base and the audio encoder are those that it was trained on.\n{model.describe_parameters()}"
