"""How the page looks: its colours and letters, and how it draws masks."""

from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..viz import overlay

SHOWN_SIDE = 960
"""The longer side, in pixels, of the pictures that the page shows."""

_DIM = 0.45

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#intro h1 { margin-bottom: 0; }
#note { min-height: 1.6em; }
#source video, #picture img { max-height: 260px; object-fit: contain; }
#sound button .wrap { min-height: 0; padding: 40px 0 12px; font-size: 0.95em; }
#sound button .icon-wrap { display: none; }
#frame img, #video video { max-height: 460px; object-fit: contain; }
#terms { opacity: 0.7; font-size: 0.9em; }
"""

# No shadows and no coloured labels: the masks are what stands out.
_BOTH_SCHEMES: dict[str, Any] = {
    "block_label_background_fill": "*background_fill_primary",
    "block_label_text_color": "*body_text_color_subdued",
    "block_title_background_fill": "none",
    "block_title_text_color": "*body_text_color",
    "block_shadow": "none",
    "block_border_width": "1px",
}
THEME = gr.themes.Soft(
    primary_hue="rose",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],  # nothing is fetched from elsewhere
    font_mono=["ui-monospace", "monospace"],
).set(
    block_label_text_weight="400",
    block_title_text_weight="500",
    block_title_padding="0",
    **_BOTH_SCHEMES,
    **{f"{name}_dark": value for name, value in _BOTH_SCHEMES.items()},
)


def fit(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) scaled down to what the page shows."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image)


def dimmed(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) in which all but the mask (H, W) is darker."""
    return overlay(picture, mask, dim=_DIM)
