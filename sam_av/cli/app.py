"""Open the web page: a film, or a picture and a sound, goes in through a browser, and the masks come out."""

import argparse

HELP = "open the web page: upload or record, see and download the masks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av app`."""
    parser.add_argument(
        "--adapter",
        nargs="+",
        metavar="NAME",
        help="adapters to choose from (Hub ids, folders, builtin:...); the demo adapters by default",
    )
    parser.add_argument("--any-adapter", action="store_true", help="let visitors name other adapters of the Hub")
    parser.add_argument(
        "--any-folder", action="store_true", help="and folders of this machine: for a page that you alone reach"
    )
    parser.add_argument("--host", help="address to listen at, 0.0.0.0 for all (default: this machine alone)")
    parser.add_argument("--port", type=int, help="port to listen at (default: the first free one from 7860 on)")
    parser.add_argument("--share", action="store_true", help="make a public link, through Gradio's servers")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--max-seconds", type=float, default=60, help="longest film or sound (default: %(default)s)")
    parser.add_argument("--max-megabytes", type=float, default=100, help="largest file (default: %(default)s)")
    parser.add_argument("--max-masks", type=int, default=1000, help="most masks of a film (default: %(default)s)")
    parser.add_argument("--max-waiting", type=int, default=20, help="longest queue of visitors (default: %(default)s)")
    parser.add_argument("--device", help="cuda, mps, cpu; by default the best that there is")


def run(options: argparse.Namespace) -> None:
    """Runs `sam-av app`."""
    from ..app import DEFAULT_ADAPTERS, launch
    from ..app.limits import Limits

    launch(
        options.adapter or DEFAULT_ADAPTERS,
        host=options.host,
        port=options.port,
        share=options.share,
        any_adapter=options.any_adapter,
        any_folder=options.any_folder,
        limits=Limits(
            seconds=options.max_seconds,
            megabytes=options.max_megabytes,
            masks=options.max_masks,
            waiting=options.max_waiting,
        ),
        device=options.device,
        open_browser=options.open,
    )
