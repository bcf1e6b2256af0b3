"""The web page: a film or a picture in, the masks of what sounds out, in a browser."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .limits import MEGABYTE, Limits

DEFAULT_ADAPTERS = ("builtin:demo-sama", "builtin:demo-ap-sam")


def launch(
    adapters: Sequence[str] = DEFAULT_ADAPTERS,
    *,
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    any_adapter: bool = False,
    any_folder: bool = False,
    limits: Limits | None = None,
    device: str | None = None,
    open_browser: bool = False,
) -> None:
    """Serves the page until it is interrupted, by Ctrl-C or SIGTERM.

    Args:
        adapters: what visitors may choose from; the first one is loaded before the page opens.
        host: address to listen at; by default this machine alone, or what GRADIO_SERVER_NAME says, as on a Space.
        port: port to listen at; by default the first free one from 7860 on.
        share: make a public link through Gradio's servers for as long as the page is open.
        any_adapter: let visitors name other adapters of the Hub, too.
        any_folder: let them name folders of this machine as well, and learn from errors what lies in them. The address
            does not tell who reaches the page: a server before it may pass on anybody.
        limits: what a visitor may ask for.
        device: None takes CUDA, MPS or CPU in that order.
        open_browser: open the page in a browser.
    """
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ImportError('The page needs Gradio: pip install "sam-av[app]"') from error
    with _ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="sam-av-app-") as folder:
        # Gradio serves what lies in these two, and nothing else is allowed: see `blocks.launch` below.
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "served")
        os.environ["GRADIO_EXAMPLES_CACHE"] = str(Path(folder) / "served" / "examples")

        from .adapters import AdapterChoice
        from .examples import write_examples
        from .looks import CSS, THEME
        from .page import Page

        limits = limits or Limits()
        choice = AdapterChoice(adapters, "any" if any_folder else "hub" if any_adapter else "none", device)
        choice.load(adapters[0])
        page = Page(choice, limits, Path(folder) / "runs", write_examples(Path(folder) / "examples"))
        page.build().launch(
            server_name=host,  # where it is None, Gradio itself looks at GRADIO_SERVER_NAME
            server_port=port,
            share=share,
            inbrowser=open_browser,
            max_file_size=round(limits.megabytes * MEGABYTE),
            allowed_paths=[],
            show_error=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=["gradio", "settings"],
            ssr_mode=False,
            mcp_server=False,
            theme=THEME,
            css=CSS,
        )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, which service managers and containers send, ends the page as Ctrl-C does: no visitor's file stays."""
    if threading.current_thread() is not threading.main_thread():  # which alone may say what a signal does
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
