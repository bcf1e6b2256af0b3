"""What is installed, and whether torch and torchaudio go together."""

import platform

from .columns import align

# What sam-av stands on, and what its extras bring, as in pyproject.toml.
PACKAGES = (
    "torch", "torchaudio", "torchvision", "transformers", "peft", "accelerate", "huggingface_hub", "safetensors", "av",
    "pillow", "numpy", "scipy", "pycocotools",
)  # fmt: skip
EXTRA_PACKAGES = ("datasets", "tensorboard", "matplotlib", "gradio")


def installed_version(package: str) -> str | None:
    """The installed version of a package, or None."""
    from importlib.metadata import PackageNotFoundError, version  # not what `sam-av --help` waits for

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def explain_torchaudio() -> str | None:
    """Why torchaudio cannot be imported and what to install, or None when it can.

    A torchaudio that does not fit torch's build fails at import and takes all of transformers down with it.
    """
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return (
            f"torchaudio {installed_version('torchaudio')} cannot be loaded beside torch {installed_version('torch')}: "
            f"{error}\nThe two must come from matching builds. Install a pair that goes together:\n"
            '    pip install --upgrade "torch>=2.11,<2.15" "torchaudio>=2.11"'
        )
    return None


def describe_environment() -> str:
    """What a report of a fault should say of this machine; nothing in it names a user or a place."""
    from . import __version__

    facts = {
        "sam-av": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.release()} ({platform.machine()})",
    }
    facts |= {name: installed_version(name) or "not installed" for name in PACKAGES}
    facts["torchaudio"] += ", which CANNOT BE LOADED" if explain_torchaudio() else ", which loads beside this torch"
    extras = {name: installed_version(name) for name in EXTRA_PACKAGES}
    facts["extras"] = ", ".join(f"{name} {found}" for name, found in extras.items() if found) or "none"
    facts["not installed"] = ", ".join(name for name, found in extras.items() if not found) or "none of the extras"
    facts["FFmpeg"] = _ffmpeg()
    facts["devices"] = _devices()
    return align(facts)


def _ffmpeg() -> str:
    try:
        import av
    except ImportError as error:
        return f"cannot be loaded: {error}"
    missing = [name for name in ("libx264", "aac") if name not in av.codecs_available]
    return f"{av.ffmpeg_version_info}, in av" + (f"; without {' and '.join(missing)}" if missing else "")


def _devices() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"torch cannot be loaded: {error}"
    build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
    devices = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        devices.append(f"cuda:{index} {facts.name} ({facts.total_memory / 2**30:.0f} GiB, {half})")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return ", ".join([*devices, f"cpu with {torch.get_num_threads()} threads"]) + f"; {build}"
