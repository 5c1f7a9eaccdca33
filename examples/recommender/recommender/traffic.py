"""The visitors: requests at random moments, more of them by day than by night."""

import argparse
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import urllib3

from recommender.catalogue import Catalogue
from recommender.faults import Faults
from recommender.processes import end_with_parent, state_folder
from recommender.visits import DEVICES, SWING, Visit, Visitors

DAY = 24 * 60.0  # seconds: an hour of the shop is a minute of ours
SENDERS = 24
GIVES_UP_AFTER = 2.0

log = logging.getLogger("recommender.traffic")


def rate_at(moment: float, mean: float, swing: float) -> float:
    """Give the requests per second at a moment; never none, or silence would say nothing."""
    return mean * (1 + swing * math.sin(2 * math.pi * moment / DAY))


class Client:
    """Sends visits to the serving process, and says once when it goes away or comes back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=SENDERS, retries=False, timeout=GIVES_UP_AFTER)
        self._is_away = False

    def send(self, visit: Visit) -> None:
        question = {
            "user": str(visit.user),
            "item": str(visit.item),
            "device": DEVICES[visit.device],
            "session_events": str(visit.session_events),
        }
        try:
            self._http.request("GET", f"{self._url}/recommend", fields=question)
        except urllib3.exceptions.HTTPError as failed:
            if not self._is_away:
                log.warning("Serving does not answer: %s.", type(failed).__name__)
            self._is_away = True
        else:
            self._is_away = False


def send_for_ever(
    client: Client, visitors: Visitors, faults: Faults, *, rate: float, swing: float
) -> None:
    """Send at the rate of the hour, whether answers come or not, as visitors do."""
    rng = np.random.default_rng()
    with ThreadPoolExecutor(SENDERS) as senders:
        due = time.time()
        while True:
            due += rng.exponential(1 / rate_at(due, rate, swing))
            time.sleep(max(0.0, due - time.time()))
            # After a pause of the machine there is no storm to catch up with what was missed.
            due = max(due, time.time() - 1)
            (visit,) = visitors.draw(1, campaign=faults.active("shifted-inputs"))
            senders.submit(client.send, visit)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--var", type=state_folder, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--swing", type=float, default=SWING)
    options = parser.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s")
    end_with_parent()
    visitors = Visitors(Catalogue.load(options.var.catalogue), np.random.default_rng())
    client = Client(f"http://127.0.0.1:{options.port}")
    send_for_ever(client, visitors, Faults(options.var), rate=options.rate, swing=options.swing)


if __name__ == "__main__":
    main()
