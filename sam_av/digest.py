"""Digests: short texts that differ when values, files or tensors do."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

_SAMPLE = 2**20


def digest(*parts: object) -> str:
    """Of bytes as they are, and of anything else by its `repr`."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def digest_files(paths: Iterable[Path]) -> str:
    """Of files by their paths, sizes and times of change, without reading them."""
    stats = [(str(path), path.stat()) for path in paths]
    return digest(*((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))


def digest_content(path: Path) -> str:
    """Of all that a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_samples(path: Path) -> str:
    """Of the first, the middle and the last MiB of a file, which may be too long to be read for this."""
    size, parts = path.stat().st_size, []
    with path.open("rb") as file:
        for start in (0, size // 2, size - _SAMPLE):
            file.seek(max(0, start))
            parts.append(file.read(_SAMPLE))
    return digest(size, *parts)


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Of tensors by their names, shapes and every value."""
    return digest(
        *(
            part
            for name, tensor in sorted(tensors.items())
            for part in (name, tuple(tensor.shape), tensor.detach().float().cpu().numpy().tobytes())
        )
    )
