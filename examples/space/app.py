"""The web page of sam-av as a Hugging Face Space. Name your adapters in the Space's variable ADAPTERS."""

import os

from sam_av.app import DEFAULT_ADAPTERS, launch
from sam_av.app.limits import Limits

adapters = os.environ.get("ADAPTERS", " ".join(DEFAULT_ADAPTERS)).split()
launch(adapters, limits=Limits(seconds=30, megabytes=50, masks=300))
