"""Which port it takes when nobody says."""

import socket

from recommender.running import USUAL_PORT, free_port, usable_port


def test_it_comes_back_to_the_port_of_a_run_that_did_not_end_well(folder):
    before = free_port()
    folder.tell_address(f"http://127.0.0.1:{before}")
    assert usable_port(folder) == before


def test_a_port_that_is_taken_is_left_to_whoever_has_it(folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        folder.tell_address(f"http://127.0.0.1:{taken}")
        assert usable_port(folder) != taken


def test_without_a_run_before_it_is_the_usual_one_if_that_is_free(folder):
    with socket.socket() as probe:
        is_free = probe.connect_ex(("127.0.0.1", USUAL_PORT)) != 0
    assert (usable_port(folder) == USUAL_PORT) is is_free
