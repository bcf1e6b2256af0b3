"""What is installed, and whether torch and torchaudio go together."""

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str | None:
    """The installed version of a package, or None."""
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
