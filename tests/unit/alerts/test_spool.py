"""The spool keeps what it said it keeps."""

import os
from datetime import UTC, datetime

import pytest

from app.alerts import spool as module
from app.alerts.spool import Spool

ENTRY = {"receipt": "r", "received_at": datetime(2026, 3, 12, tzinfo=UTC), "body": b"{}"}


def replayed(spool):
    kept = []
    spool.replay(lambda entries: kept.extend(entries) or [])
    return kept


def test_what_goes_in_comes_out(tmp_path):
    spool = Spool(tmp_path / "spool", 1000)
    refused = {**ENTRY, "body": None, "processed_at": datetime(2026, 3, 13, tzinfo=UTC)}
    spool.append([ENTRY, refused])

    assert replayed(spool) == [ENTRY, refused]
    assert replayed(spool) == []


def test_a_line_after_one_that_a_crash_cut_short_is_kept(tmp_path):
    spool = Spool(tmp_path / "spool", 1000)
    spool.path.write_bytes(b'{"receipt": "half')
    spool.append([ENTRY])

    assert replayed(spool) == [ENTRY]


def test_a_disk_that_takes_a_part_is_asked_again(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "spool", 1000)
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda file, content: write(file, content[:7]))
    spool.append([ENTRY])

    assert replayed(spool) == [ENTRY]


def test_a_disk_that_is_full_leaves_no_half_line_behind(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "spool", 1000)
    spool.append([ENTRY])
    write = os.write

    def full(file, content):
        write(file, content[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "write", full)
        with pytest.raises(OSError, match="No space"):
            spool.append([ENTRY])

    assert replayed(spool) == [ENTRY]
