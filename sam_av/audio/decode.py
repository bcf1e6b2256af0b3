"""Sound from files and arrays: any format, rate and number of channels -> one mono waveform."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from torch import Tensor

from ..damage import DamagedSource
from .log_mel import SAMPLING_RATE
from .resample import open_resampler, resample

_GAP = 0.05  # seconds; clocks are that inexact
_CUT_SHORT, _SLACK = 0.95, 0.5  # of the length that a file declares, which may be an estimate; seconds


class SoundPart(NamedTuple):
    """A stretch of sound as it was recorded: samples (channels, n) float32 and their rate in Hz."""

    samples: np.ndarray
    rate: int


@dataclass
class _Track:
    """The audio track of an open file while it is decoded; times are in seconds."""

    container: av.container.InputContainer
    stream: av.AudioStream
    damaged_packets: int = 0
    end_of_file: float = 0.0

    def frames(self) -> Iterator[av.AudioFrame]:
        """The frames that can be decoded, in order. Packets of other tracks only show how far the file goes."""
        for packet in self.container.demux():
            if packet.pts is not None and packet.time_base is not None:
                self.end_of_file = max(
                    self.end_of_file, float((packet.pts + (packet.duration or 0)) * packet.time_base)
                )
            if packet.stream_index != self.stream.index:
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged_packets += 1
                continue
            yield from frames

    @property
    def origin(self) -> float:
        """Where the file's clock starts: not at 0 in mp3 and in recorded broadcasts, and never before it."""
        return max(self.container.start_time or 0, 0) / av.time_base

    @property
    def stops_early(self) -> bool:
        """Whether the packets of all tracks end well before the header says; where the header says nothing, no."""
        return self.end_of_file < _CUT_SHORT * (self.container.duration or 0) / av.time_base - _SLACK


def read_audio(path: str | Path, sampling_rate: int = SAMPLING_RATE) -> Tensor:
    """The audio track of a file as one mono waveform (n,) float32, full scale at -1..1.

    Its first sample is the start of the file: a track that starts later than the picture is preceded by silence. The
    file may be sound alone or a video, in any format that FFmpeg reads. Damaged stretches are silent, with a warning.
    """
    return torch.cat(list(stream_audio(path, sampling_rate)))


def stream_audio(path: str | Path, sampling_rate: int = SAMPLING_RATE) -> Iterator[Tensor]:
    """The waveform of `read_audio` in parts (n,), so that it may be of any length. The file is opened at once."""
    return _to_mono(stream_channels(path), sampling_rate)


def stream_channels(path: str | Path) -> Iterator[SoundPart]:
    """The sound of a file as it was recorded, in short parts; otherwise as `read_audio` says. Opened at once."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no sound or video file '{path}'.")
    with _errors_of(path):
        container = av.open(path)
        track = _Track(container, _find_stream(container, path))
    return _decode(track, path)


def to_mono_16k(waveform: Tensor | np.ndarray, sampling_rate: int) -> Tensor:
    """A waveform (n,) or (channels, n) at any rate -> (n,) float32 at 16 kHz.

    Floats are taken as they are, with full scale at -1..1; integers are PCM and are scaled to it.
    """
    mono = to_mono(waveform)
    if sampling_rate < 1 or sampling_rate != int(sampling_rate):
        raise ValueError(f"The sampling rate must be a whole number of samples per second, not {sampling_rate}.")
    return resample(mono, int(sampling_rate), SAMPLING_RATE)


def to_mono(waveform: Tensor | np.ndarray) -> Tensor:
    """A waveform (n,) or (channels, n), floats or PCM -> (n,) float32 at the same rate."""
    # A reversed array is a view with negative strides, which tensors cannot have.
    sound = torch.as_tensor(np.ascontiguousarray(waveform) if isinstance(waveform, np.ndarray) else waveform)
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and sound.shape[0] > sound.shape[1]):
        raise ValueError(f"A waveform must be (n,) or (channels, n), not {tuple(sound.shape)}.")
    if sound.numel() == 0:
        raise ValueError(f"The waveform is empty: its shape is {tuple(sound.shape)}. Pass zeros for silence.")
    sound = _to_full_scale(sound)
    if not bool(torch.isfinite(sound).all()):
        raise ValueError("The waveform holds NaN or infinite samples: decode the sound again or leave it out.")
    return sound.mean(dim=0) if sound.ndim == 2 else sound


def _to_full_scale(sound: Tensor) -> Tensor:
    if sound.is_floating_point():
        return sound.float()
    if sound.dtype == torch.uint8:  # 8-bit PCM is unsigned
        return (sound.float() - 128) / 128
    if sound.dtype in (torch.int16, torch.int32):
        return sound.float() / -torch.iinfo(sound.dtype).min
    raise ValueError(f"A waveform holds floats in -1..1, or PCM as uint8, int16 or int32, not {sound.dtype}.")


def _find_stream(container: av.container.InputContainer, path: Path) -> av.AudioStream:
    stream = container.streams.best("audio")
    if stream is None:
        tracks = [f"{track.type} ({track.codec_context.name})" for track in container.streams if track.codec_context]
        raise ValueError(
            f"'{path}' has no audio track: it holds {', '.join(tracks) or 'no track that can be decoded'}. Pass its "
            "sound as a file of its own."
        )
    return stream


def _to_mono(parts: Iterator[SoundPart], sampling_rate: int) -> Iterator[Tensor]:
    """The plain mean of the channels, resampled, in parts (n,).

    The mean is that of AVSBench's preparation of VGGish: FFmpeg's own downmix adds stereo channels at 0.707 each, so
    that it clips, and drops the low-frequency channel of 5.1.
    """
    # A stream may change its channels or its rate on the way, as joined mp3 files do.
    for (_, rate), alike in itertools.groupby(parts, lambda part: (len(part.samples), part.rate)):
        resampler = open_resampler(rate, sampling_rate)
        for part in alike:
            yield resampler.push(torch.from_numpy(part.samples.mean(axis=0)))
        yield resampler.flush()


def _decode(track: _Track, path: Path) -> Iterator[SoundPart]:
    """The decoded sound; where the stream's clock runs ahead of it, at its start or after a loss, there is silence."""
    end, seconds = track.origin, 0.0
    with _errors_of(path), track.container:
        for (_, rate), frames in itertools.groupby(
            track.frames(), lambda frame: (frame.layout.name, frame.sample_rate)
        ):
            converter, first = av.AudioResampler(format="fltp"), True  # a converter takes one layout and rate
            for frame in frames:
                gap = (end if frame.time is None else frame.time) - end
                # What follows must stay beside its picture.
                if gap > (0 if first else _GAP):
                    yield from _silence(len(frame.layout.channels), rate, gap)
                    end, seconds = end + gap, seconds + gap
                for converted in converter.resample(frame):
                    samples = converted.to_ndarray()
                    if not np.isfinite(samples).all():
                        raise DamagedSource(f"The sound of '{path}' holds NaN or infinite samples: export it again.")
                    yield SoundPart(samples, rate)
                end, seconds, first = end + frame.samples / rate, seconds + frame.samples / rate, False
        _warn_of_damage(path, track, seconds)


def _silence(channels: int, rate: int, seconds: float) -> Iterator[SoundPart]:
    """Silence in parts of at most a second, since a gap may be of hours."""
    samples = round(seconds * rate)
    for start in range(0, samples, rate):
        yield SoundPart(np.zeros((channels, min(rate, samples - start)), np.float32), rate)


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turns what FFmpeg says of a file into an error that names it."""
    try:
        yield
    except av.FFmpegError as error:
        raise DamagedSource(
            f"'{path}' ({path.stat().st_size:,} bytes) cannot be decoded ({error.strerror}): it is empty, cut off or "
            "no sound file. Play it, or get it again."
        ) from error


def _warn_of_damage(path: Path, track: _Track, seconds: float) -> None:
    """Warns where a part of the sound was lost; without any sound there is nothing to go on with."""
    if seconds == 0:
        raise DamagedSource(
            f"No sound can be decoded from the audio track of '{path}' ({track.damaged_packets} damaged packets): it "
            "is empty or cut off. Get the file again."
        )
    if track.damaged_packets or track.stops_early or _riff_is_cut_off(path):
        warnings.warn(
            f"'{path}' seems damaged or cut off: only {seconds:.2f} s of sound could be decoded "
            f"({track.damaged_packets} damaged packets). Get the file again unless that is enough.",
            stacklevel=3,
        )


def _riff_is_cut_off(path: Path) -> bool:
    """Whether a wav holds less than its header says, of which FFmpeg takes no notice."""
    with path.open("rb") as file:
        header = file.read(8)
    length = int.from_bytes(header[4:], "little")
    # Recorders that write to a pipe leave the length open: all ones.
    return header[:4] == b"RIFF" and length != 0xFFFFFFFF and path.stat().st_size < _CUT_SHORT * length
