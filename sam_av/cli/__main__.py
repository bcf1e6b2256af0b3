"""`python -m sam_av.cli`, the same as `sam-av`; what `accelerate launch -m` starts."""

import sys

from . import main

sys.exit(main())
