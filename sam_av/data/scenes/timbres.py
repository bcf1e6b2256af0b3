"""How each class of object sounds: one function a class, which plays a random one of its kind.

Each gives a waveform that is audible in every window of 0.96 s, whatever its length.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, lfilter, sosfilt

from ..clip import SAMPLE_RATE

Timbre = Callable[[np.random.Generator, int], np.ndarray]
"""Takes a number of samples, gives a waveform (n,) of any loudness."""


def bell(rng: np.random.Generator, n: int) -> np.ndarray:
    """A struck bell: inharmonic partials, the high ones dying first."""
    time = _seconds(1.4)
    ratios = np.array([[0.5], [1.0], [1.19], [1.56], [2.0], [2.66], [3.76]])
    sizes = np.array([[0.2], [0.8], [0.8], [0.6], [1.0], [0.8], [0.6]])
    partials = sizes * np.exp(-2.0 * ratios * time) * np.sin(2 * np.pi * rng.uniform(750, 1150) * ratios * time)
    return _repeat(rng, n, [partials.sum(axis=0)], rate=rng.uniform(1.5, 2.5))


def drum(rng: np.random.Generator, n: int) -> np.ndarray:
    """Drum beats: a low falling thump and the slap of the skin."""
    time = _seconds(0.3)
    pitch = rng.uniform(70, 120)
    thump = np.exp(-time * 12) * np.sin(2 * np.pi * (pitch * time + pitch / 25 * (1 - np.exp(-25 * time))))
    slap = np.exp(-time * 70) * _band(rng.standard_normal(len(time)), 150, 1200)
    return _repeat(rng, n, [thump + 0.5 * slap], rate=rng.uniform(3, 5.5))


def siren(rng: np.random.Generator, n: int) -> np.ndarray:
    """A wailing tone that sweeps up and down about an octave."""
    low = rng.uniform(550, 750)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (rng.uniform(1.2, 2.2) * _times(n) + rng.random()))
    return _tone(low * rng.uniform(1.9, 2.3) ** sweep, (1, 0.3, 0.35, 0.12, 0.15))


def bee(rng: np.random.Generator, n: int) -> np.ndarray:
    """A buzz: a bright saw-tooth drone whose pitch wanders."""
    wander = np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * _times(n) + rng.uniform(0, 6))
    flutter = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(9, 14) * _times(n))
    saw = _tone(rng.uniform(200, 280) * (1 + 0.05 * wander), 1 / np.arange(1, 25))
    return flutter * _band(saw, 600, 6000)


def bird(rng: np.random.Generator, n: int) -> np.ndarray:
    """Chirps that sweep through the high notes."""
    time = _seconds(rng.uniform(0.07, 0.11))
    window = np.hanning(len(time))
    start, sweep = rng.uniform(3500, 4500), rng.uniform(1200, 2200) * rng.choice([-1, 1])
    chirps = [
        window * _tone(start + shift + sweep * np.sin(np.pi * time / time[-1] / 2), (1, 0.08))
        for shift in rng.uniform(-500, 500, 3)
    ]
    return _repeat(rng, n, chirps, rate=rng.uniform(5, 8))


def dog(rng: np.random.Generator, n: int) -> np.ndarray:
    """Barks: rough bursts, voice and noise, through the formants of a throat."""
    time = _seconds(rng.uniform(0.16, 0.22))
    rise, pitch = np.hanning(len(time)) ** 0.4, rng.uniform(220, 330)
    voice = _tone(pitch * (0.8 + 0.4 * rise), 1 / np.arange(1, 12)) + 0.8 * rng.standard_normal(len(time))
    formants = ((rng.uniform(600, 800), 1.0), (rng.uniform(1150, 1400), 0.7), (rng.uniform(2300, 2600), 0.15))
    bark = rise * sum(size * _resonance(voice, centre, 180) for centre, size in formants)
    return _repeat(rng, n, [bark], rate=rng.uniform(2.2, 3.5))


def clock(rng: np.random.Generator, n: int) -> np.ndarray:
    """Ticking: two dry clicks in turn."""
    time = _seconds(0.06)
    ticks = [
        np.exp(-time * 110) * np.sin(2 * np.pi * pitch * time) + np.exp(-time * 900) * rng.standard_normal(len(time))
        for pitch in rng.uniform([2300, 1700], [2900, 2200])
    ]
    return _repeat(rng, n, ticks, rate=rng.uniform(5, 8), jitter=0.0)


def flute(rng: np.random.Generator, n: int) -> np.ndarray:
    """A soft melody of nearly pure notes with vibrato and breath."""
    held = int(SAMPLE_RATE * rng.uniform(0.3, 0.6))
    notes = rng.choice([1, 9 / 8, 5 / 4, 3 / 2, 5 / 3], size=n // held + 1)
    melody = uniform_filter1d(np.repeat(notes, held)[:n], 256)
    vibrato = 1 + 0.012 * np.sin(2 * np.pi * rng.uniform(4.5, 6) * _times(n))
    breath = 0.05 * rng.standard_normal(n)
    return _tone(rng.uniform(360, 540) * melody * vibrato, (1, 0.12, 0.03)) + _band(breath, 400, 3000)


def car(rng: np.random.Generator, n: int) -> np.ndarray:
    """An engine: low firing pulses whose speed drifts, over the rumble of the road."""
    drift = 1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * _times(n) + rng.uniform(0, 6))
    engine = _tone(rng.uniform(48, 75) * drift, (0.8, 1, 0.7, 0.9, 0.5, 0.4, 0.3, 0.2))
    return engine + _band(rng.standard_normal(n), 40, 350)


def guitar(rng: np.random.Generator, n: int) -> np.ndarray:
    """Plucked strings, a broken chord (Karplus and Strong's string)."""
    pitch = rng.uniform(110, 165)
    length = int(0.7 * SAMPLE_RATE)
    notes = []
    for ratio in (1, 5 / 4, 3 / 2):
        period = round(SAMPLE_RATE / (pitch * ratio))
        pluck = np.zeros(length)
        pluck[:period] = rng.uniform(-1, 1, period)
        loop = np.zeros(period + 2)
        loop[[0, -2, -1]] = 1, -0.498, -0.498
        notes.append(lfilter([1.0], loop, pluck))
    return _repeat(rng, n, notes, rate=rng.uniform(3, 5))


def kettle(rng: np.random.Generator, n: int) -> np.ndarray:
    """A whistling kettle: two steady high notes in a jet of steam."""
    pitch = rng.uniform(2300, 3000)
    waver = 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(2, 5) * _times(n))
    steam = _band(rng.standard_normal(n), 2000, 7000)
    return _tone(pitch * waver, (1,)) + 0.5 * _tone(1.25 * pitch * waver, (1,)) + 0.5 * steam


def campfire(rng: np.random.Generator, n: int) -> np.ndarray:
    """Crackling: sparks at random over a faint hiss."""
    sparks = np.zeros(n)
    at = rng.integers(0, n, max(1, int(rng.uniform(25, 45) * n / SAMPLE_RATE)))
    sparks[at] = rng.exponential(1.0, len(at)) * rng.choice([-1, 1], len(at))
    time = _seconds(0.004)
    snap = np.exp(-1200 * time) * rng.standard_normal(len(time))
    return np.convolve(sparks, snap)[:n] + 0.1 * _band(rng.standard_normal(n), 800, 6000)


TIMBRES: dict[str, Timbre] = {
    timbre.__name__: timbre
    for timbre in (bell, drum, siren, bee, bird, dog, clock, flute, car, guitar, kettle, campfire)
}


def play(category: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Play a random sound of a class, (n,) float32 from -1 to 1, whose loudness varies by 3 dB either way."""
    sound = TIMBRES[category](rng, n)
    loudness = 0.08 * 10 ** (rng.uniform(-3, 3) / 20)
    # The tangent rounds off the tips of the sharpest clicks and leaves all else as it is.
    return np.tanh(loudness * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def _times(n: int) -> np.ndarray:
    return np.arange(n) / SAMPLE_RATE


def _seconds(duration: float) -> np.ndarray:
    return _times(int(duration * SAMPLE_RATE))


def _tone(pitch: np.ndarray, harmonics: Sequence[float] | np.ndarray) -> np.ndarray:
    """A note of a pitch (n,) in Hz and harmonics of the given strengths, read from a table of one cycle."""
    cycle = np.arange(2048) * (2 * np.pi / 2048)
    table = sum(size * np.sin((order + 1) * cycle) for order, size in enumerate(harmonics))
    return table[(np.cumsum(pitch) * (2048 / SAMPLE_RATE)).astype(np.int64) % 2048]


def _band(sound: np.ndarray, low: float, high: float) -> np.ndarray:
    return sosfilt(butter(2, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), sound)


def _resonance(sound: np.ndarray, centre: float, width: float) -> np.ndarray:
    radius = np.exp(-np.pi * width / SAMPLE_RATE)
    poles = [1, -2 * radius * np.cos(2 * np.pi * centre / SAMPLE_RATE), radius**2]
    return lfilter([1 - radius], poles, sound)


def _repeat(rng: np.random.Generator, n: int, hits: list[np.ndarray], rate: float, jitter: float = 0.15) -> np.ndarray:
    """Play the hits in turn, ``rate`` a second, from the very start; each a little late, louder or softer."""
    period = SAMPLE_RATE / rate
    sound = np.zeros(n)
    for turn in range(int(n / period) + 1):
        start = int((turn + rng.uniform(0, jitter)) * period)
        hit = hits[turn % len(hits)][: max(n - start, 0)]
        sound[start : start + len(hit)] += rng.uniform(0.7, 1.0) * hit
    return sound
