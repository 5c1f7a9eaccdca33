"""Asking serving and drift APIs: what a name leads to when it is looked up again."""

import ipaddress
import socket

import pytest

from app.integrations import apis


def test_a_name_that_leads_elsewhere_by_the_time_we_connect_is_sent_nothing(monkeypatch):
    forbidden = ipaddress.ip_network("127.0.0.1/32")
    monkeypatch.setattr(apis, "NEVER", (forbidden,))
    # The first look at the name finds nothing wrong, as when its owner changes it in between.
    monkeypatch.setattr(apis, "_refuse_own_secrets", lambda netloc: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        port = server.getsockname()[1]

        with pytest.raises(apis.UnreachableError, match="an address that Baton never asks"):
            apis.ask(f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer x"})

        taken, _ = server.accept()
        with taken:
            taken.settimeout(10)
            assert taken.recv(100) == b""
