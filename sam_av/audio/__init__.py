"""Sound: files to 16 kHz waveforms, waveforms to the window of each frame, windows to embeddings."""

from .ast import AstEncoder
from .decode import read_audio, stream_audio, stream_channels, to_mono, to_mono_16k
from .encoders import (
    AudioEncoder,
    AudioFrontEnd,
    load_audio_encoder,
    load_front_end,
    register_audio_encoder,
    resolve_audio_encoder,
)
from .listener import Listener
from .log_mel import log_mel_examples, log_mel_windows
from .vggish import VGGish
from .windows import frame_windows

__all__ = [
    "AstEncoder",
    "AudioEncoder",
    "AudioFrontEnd",
    "Listener",
    "VGGish",
    "frame_windows",
    "load_audio_encoder",
    "load_front_end",
    "log_mel_examples",
    "log_mel_windows",
    "read_audio",
    "register_audio_encoder",
    "resolve_audio_encoder",
    "stream_audio",
    "stream_channels",
    "to_mono",
    "to_mono_16k",
]
