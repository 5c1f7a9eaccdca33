"""Settings that can't be: refused at the start, in words, and without what may be a secret."""

import pytest
from pydantic import ValidationError

from app.config import Settings, wrong_settings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BATON_WORKERS", "many", "BATON_WORKERS: Input should be a valid integer"),
        ("BATON_SECRET_KEY", "hunter2", "BATON_SECRET_KEY: it needs at least 32 characters."),
        ("BATON_BIND", ":8080", "BATON_BIND: it needs an address and a port"),
        ("BATON_BIND", "127.0.0.1", "BATON_BIND: it needs an address and a port"),
        ("BATON_BIND", "127.0.0.1:80800", "BATON_BIND: it needs an address and a port"),
        ("BATON_BASE_URL", "baton.example.com", "BATON_BASE_URL: it starts with https://"),
        ("BATON_DATABASE_URL", "mysql://u:hunter2@db/x", "BATON_DATABASE_URL: it starts with"),
        ("BATON_DATABASE_URL", "var/baton.sqlite3", "BATON_DATABASE_URL: it starts with"),
        ("BATON_PAGERDUTY_EVENTS_URL", "http://pager", "EVENTS_URL: it must start with https://"),
        ("BATON_LOG_LEVEL", "verbose", "BATON_LOG_LEVEL: it is DEBUG, INFO, WARNING or ERROR."),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name_and_never_repeated(
    monkeypatch, variable, value, said
):
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert said in wrong_settings(refused.value)
    assert "hunter2" not in f"{refused.value}{wrong_settings(refused.value)}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BATON_BIND", "0.0.0.0:80"),
        ("BATON_BIND", "[::1]:8080"),
        ("BATON_BASE_URL", "https://baton.example.com/"),
        ("BATON_DATABASE_URL", "postgres://baton@localhost/baton"),
        ("BATON_DATABASE_URL", "postgresql+psycopg://baton@/baton?host=/run/postgresql"),
        ("BATON_DATABASE_URL", "sqlite:////var/lib/baton/baton.sqlite3"),
        ("BATON_LOG_LEVEL", "warning"),
    ],
)
def test_a_setting_may_be_written_in_any_way_that_the_documentation_has(
    monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)

    Settings()


def test_the_var_folder_is_for_its_owner_only(tmp_path):
    chosen = Settings(var=tmp_path / "var")

    assert len(chosen.key) >= 32
    assert chosen.var.stat().st_mode & 0o077 == 0
