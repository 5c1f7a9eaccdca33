"""The command line: run the recommender, break it, heal it."""

import argparse
import sys
from pathlib import Path

import urllib3

from recommender.faults import FAULTS
from recommender.folder import Folder
from recommender.processes import state_folder
from recommender.running import run
from recommender.visits import SWING

BESIDE_THE_CODE = Path(__file__).resolve().parent.parent / "var"


def main() -> None:
    options = parsed(sys.argv[1:])
    if options.command == "run":
        sys.exit(
            run(
                options.var,
                port=options.port,
                rate=options.rate,
                swing=options.swing,
                window=options.window,
            )
        )
    sys.exit(switch(options.var, options.command, options.fault))


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recommender", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="serve, with a provider and visitors, until Ctrl-C")
    running.add_argument(
        "--port", type=int, help="of loopback; if not given, 8090 or one that is free"
    )
    running.add_argument(
        "--rate", type=positive, default=20, help="requests per second, mean of a day"
    )
    running.add_argument(
        "--swing", type=share, default=SWING, help="how far day and night are from the mean, 0 to 1"
    )
    running.add_argument(
        "--window", type=positive, default=60, help="seconds of a drift window, at least"
    )
    breaking = commands.add_parser("break", help="switch a fault on")
    breaking.add_argument("fault", choices=FAULTS)
    healing = commands.add_parser("heal", help="switch one fault off, or all")
    healing.add_argument("fault", choices=FAULTS, nargs="?")
    for command in (running, breaking, healing):
        command.add_argument(
            "--var", type=state_folder, default=str(BESIDE_THE_CODE), help="the folder of its state"
        )
    return parser.parse_args(arguments)


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 100_000:
        raise argparse.ArgumentTypeError("is more than zero")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("is at least 0 and less than 1")
    return value


def switch(folder: Folder, command: str, fault: str | None) -> int:
    """Ask the running recommender to switch, and say what is on now."""
    if not folder.address.exists():
        print(f"No recommender runs with the folder {folder.root}.", file=sys.stderr)
        return 1
    url = f"{folder.address.read_text()}/faults" + (f"/{fault}" if fault else "")
    try:
        reply = urllib3.request(
            "PUT" if command == "break" else "DELETE",
            url,
            headers={"Authorization": f"Bearer {folder.control_token()}"},
            timeout=5,
            retries=False,
        )
    except urllib3.exceptions.HTTPError as failed:
        print(f"The recommender can't be reached: {type(failed).__name__}.", file=sys.stderr)
        return 1
    if reply.status != 200:
        print(f"The recommender refused: {reply.json()['error']}", file=sys.stderr)
        return 1
    on = [fault["name"] for fault in reply.json() if fault["since"]]
    print(f"On now: {', '.join(on)}." if on else "Everything is healed.")
    return 0


if __name__ == "__main__":
    main()
