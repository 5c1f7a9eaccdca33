"""Each fault on a running recommender: its own signal moves, no other does, and it recovers."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import urllib3
from recommender.faults import FAULTS
from recommender.folder import Folder
from recommender.running import free_port

from tests.observing import Observer, wait_for

RATE = 80
WINDOW = 15
PATIENCE = 150


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("recommender"), free_port()
    options = [f"--var={folder}", f"--port={port}", f"--rate={RATE}", f"--window={WINDOW}"]
    process = subprocess.Popen([sys.executable, "-m", "recommender", "run", *options])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(url), seconds=PATIENCE, what="the first answer")
        yield url, Folder(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/health", timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(scope="module")
def running(address) -> Observer:
    url, folder = address
    return Observer(url, rate=RATE, control_token=folder.control_token())


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_moves_its_own_signal_and_no_other(running, fault):
    running.inject(fault.name)
    broken = running.scrape()
    showed = wait_for(
        lambda: fault.moves in running.moved(broken), seconds=PATIENCE, what=fault.moves
    )
    # No other signal has been looked at before a whole window of drift lies in the fault.
    wait_for(lambda: running.drift_since(broken), seconds=PATIENCE, what="a window")
    moved = running.moved(broken)

    running.heal()
    recovered = wait_for_recovery(running, fault.moves)
    print(f"{fault.name}: {fault.moves} after {showed:.0f} s, healed after {recovered:.0f} s")
    assert moved == {fault.moves}


def wait_for_recovery(running: Observer, moves: str) -> float:
    """Look at stretches one after the other until one is free of the fault."""
    healed_at = time.monotonic()
    while time.monotonic() - healed_at < PATIENCE:
        begin = running.scrape()
        is_drift = moves in ("input_drift", "output_quality")
        enough = running.drift_since if is_drift else running.has_enough_since
        wait_for(partial(enough, begin), seconds=PATIENCE, what="requests")
        if moves not in running.moved(begin):
            return time.monotonic() - healed_at
    pytest.fail(f"{moves} did not recover.")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_switches_stay_shut_without_the_token(address, method):
    url, _ = address
    reply = urllib3.request(method, f"{url}/faults/provider-down", timeout=5)
    assert reply.status == 401


@pytest.mark.parametrize("question", ["", "user=1", "user=1&item=2000", "user=x&item=1"])
def test_a_question_that_has_no_answer_is_refused(address, question):
    url, _ = address
    reply = urllib3.request("GET", f"{url}/recommend?{question}", timeout=5)
    assert reply.status == 400
    assert "whole number" in reply.json()["error"]
