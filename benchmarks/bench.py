"""What the benchmarks share: the machine in words, interleaved timing, peak memory of a call, Markdown tables."""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

RESULTS = Path(__file__).parent / "results"


def machine(device: str) -> str:
    """The machine in one line, as every table names it."""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, {versions}"
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads, {versions}"


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def interleaved_seconds(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each call; they run in turn, so that a slow moment of the machine meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            synchronize(device)
            begin = time.perf_counter()
            call()
            synchronize(device)
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - begin)
    return {name: median(values) for name, values in times.items()}


def added_peak(call: Callable[[], object], device: str) -> float:
    """MiB that a call needs beyond what is in use before it; on the CPU, to be asked in a fresh process."""
    if device == "cuda":
        call()  # a first call chooses kernels and their workspaces
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is in use now
    before = _memory("VmRSS")
    call()
    return (_memory("VmHWM") - before) / 2**10


def in_fresh_process(*arguments: str) -> float:
    """The number that this benchmark prints when it is started with further arguments."""
    done = subprocess.run([sys.executable, sys.argv[0], *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _memory(field: str) -> int:
    """KiB of this process's resident memory: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def matmul_ceiling(device: str, dtype: torch.dtype) -> float:
    """TFLOP/s of a large matrix product: the machine's own ceiling."""
    n = 8192 if device == "cuda" else 2048
    a, b = torch.randn(n, n, device=device, dtype=dtype), torch.randn(n, n, device=device, dtype=dtype)
    best = min(interleaved_seconds({"mm": lambda: a @ b}, 5, device).values())
    return 2 * n**3 / best / 1e12


def table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", default="vit-b", choices=["vit-b", "vit-l", "vit-h"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 512, 256])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def write(name: str, text: str) -> None:
    """Prints a report and keeps it in results/, with the command that made it."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    report = f"{text}\n\nMade by `{command}`.\n"
    print(report)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(report)
