"""What the processes of the recommender have in common."""

import os
import signal
import sys
from pathlib import Path
from threading import Thread

from recommender.folder import Folder


def state_folder(path: str) -> Folder:
    return Folder(Path(path).resolve())


def end_with_parent() -> None:
    """End this process when its parent does, however that ended.

    The parent holds the other end of standard input: it is at its end when the parent is gone.
    Ctrl-C reaches every process of a terminal at once, and the parent alone decides the order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        # Not through sys.stdin: its lock, held here, would spoil an ordinary end.
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(0)

    Thread(target=wait, daemon=True).start()
