"""Say what is installed here, for a report of a fault; or what an adapter is: facts, parameters, fingerprints."""

import argparse

HELP = "what is installed here, or what an adapter is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av info`."""
    parser.add_argument("adapter", nargs="?", help="adapter (Hub id, folder or builtin:...); without one, this machine")
    parser.add_argument(
        "--verify", action="store_true", help="load its base and audio encoder, too, and see whether they are the ones"
    )
    parser.add_argument("--base", help="with --verify: the adapter's base, instead of the one that it names")
    parser.add_argument("--audio-encoder", help="with --verify: local weights of the adapter's audio encoder")


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av info`; its exit code is 1 where torch and torchaudio do not go together."""
    from ..environment import describe_environment, explain_torchaudio

    if options.adapter is None:
        if options.verify or options.base or options.audio_encoder:
            raise ValueError("--verify, --base and --audio-encoder are about an adapter: name one.")
        print(describe_environment())
        if fault := explain_torchaudio():
            print(f"\n{fault}")
            return 1
        return 0
    if (options.base or options.audio_encoder) and not options.verify:
        raise ValueError("--base and --audio-encoder are held against the adapter with --verify: add it.")

    from ..info import describe_adapter, verify_adapter

    print(describe_adapter(options.adapter))
    if options.verify:
        print("\n" + verify_adapter(options.adapter, base=options.base, audio_encoder=options.audio_encoder))
    return 0
