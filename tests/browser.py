"""Chromium for the tests of the web page: the system's, or the one that Playwright has fetched.

`python tests/browser.py` says which it is; its exit code is 1 where there is none.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).is_file():
        return own
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


if __name__ == "__main__":
    found = find_browser()
    print(f"Browser: {found or 'none'}")
    sys.exit(found is None)
