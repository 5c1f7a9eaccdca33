"""Every setting, from the environment: `BATON_DATABASE_URL` is `Settings.database_url`."""

import os
import re
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from flask import current_app
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ORIGIN = re.compile(r"https?://(\*\.)?[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9A-Fa-f:.]+\](:\d+)?")


class Settings(BaseSettings):
    """Typed, secret by type, explained. `docs/configuration.md` lists the same, held by a test."""

    # What was given may be a secret, and an error ends up in a log.
    model_config = SettingsConfigDict(
        env_prefix="BATON_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    bind: str = Field("127.0.0.1:8080", description="Address and port that gunicorn listens on.")
    base_url: str = Field(
        "",
        description="How people and senders reach Baton, as in https://baton.example.com. "
        "Links in pages and messages start with it. Empty: http:// and the bind address.",
    )
    database_url: str = Field(
        "",
        description="postgresql://user:password@host/name, or sqlite:///path. "
        "Empty: SQLite in the var folder.",
    )
    var: Path = Field(Path("var"), description="Folder for what Baton keeps outside the database.")
    secret_key: SecretStr | None = Field(
        None,
        description="Signs sessions and encrypts stored secrets; at least 32 characters. "
        "Empty: made on the first start and kept in the var folder, readable by its owner only. "
        "All hosts of one installation need the same.",
    )
    workers: int = Field(2, ge=1, description="Gunicorn worker processes.")
    threads: int = Field(16, ge=1, description="Threads in each gunicorn worker.")
    job_concurrency: int = Field(
        8, ge=1, description="Jobs of one queue that a worker runs at once."
    )
    max_delivery_bytes: int = Field(
        1_048_576, ge=1024, description="Larger deliveries are refused with 413."
    )
    spool_bytes: int = Field(
        268_435_456,
        ge=0,
        description="While the database is away, deliveries are kept in files in the var folder, "
        "up to this many bytes. Beyond it senders are told 503 and try again.",
    )
    delivery_days: int = Field(30, ge=1, description="Days that deliveries are kept.")
    reading_days: int = Field(
        3,
        ge=1,
        description="Days that each reading of a panel is kept; after that, by the hour, 400 days.",
    )
    embed_origins: str = Field(
        "",
        description="Origins whose pages may show panels in a frame, separated by spaces, as in "
        "https://dashboards.example.com. Empty: an embed link opens, and in no frame.",
    )
    session_hours: int = Field(12, ge=1, description="Hours until a sign-in ends.")
    reopen_minutes: int = Field(
        10,
        ge=0,
        description="An alert that fires again this soon after its incident resolved by itself "
        "reopens it; later it opens a new one.",
    )
    pagerduty_events_url: str = Field(
        "",
        description="Another base URL for the PagerDuty Events API, https only. "
        "Empty: PagerDuty's own for the region of each team.",
    )
    pagerduty_ca: Path | None = Field(
        None, description="CA file that signs the certificate of pagerduty_events_url, if private."
    )
    runbooks: Path = Field(
        Path("runbooks"), description="Folder of runbooks, read at every start and watched."
    )
    sample: bool = Field(
        True,
        description="Runs the sample, a small recommender with switches that break it, beside "
        "Baton. off leaves it out, as a production installation wants it: see sample.md.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        description="How many proxies in front of Baton set X-Forwarded-For, -Proto and -Host.",
    )
    metrics_key: SecretStr | None = Field(
        None, description="If set, /metrics wants it as a bearer token. Empty: anyone may scrape."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    development: bool = Field(
        False, description="Shows /_components and reloads templates. Not for production."
    )

    @field_validator("bind")
    @classmethod
    def _is_address_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError("it needs an address and a port, as in 127.0.0.1:8080.")
        return value

    @field_validator("base_url")
    @classmethod
    def _is_address_without_slash(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(
                "it starts with https:// or http://, as https://baton.example.com does."
            )
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _is_of_a_known_database(cls, value: str) -> str:
        if value and not re.match(r"(postgres|postgresql|sqlite)(\+\w+)?://", value):
            raise ValueError("it starts with postgresql:// or sqlite:///.")
        return value

    @field_validator("pagerduty_events_url")
    @classmethod
    def _is_encrypted(cls, value: str) -> str:
        if value and not value.startswith("https://"):
            raise ValueError("it must start with https://.")
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("it is DEBUG, INFO, WARNING or ERROR.")
        return value.upper()

    @field_validator("embed_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for one in value.split():
            if not ORIGIN.fullmatch(one):
                raise ValueError(f"{one} is no origin, as https://dashboards.example.com is.")
        return " ".join(value.split())

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("it needs at least 32 characters.")
        return value

    @property
    def url(self) -> str:
        """Where Baton is reached, without a slash at the end."""
        return self.base_url or f"http://{self.bind}"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL."""
        if self.database_url.startswith("postgres://"):
            return self.database_url.replace("postgres://", "postgresql://", 1)
        return self.database_url or f"sqlite:///{self.var.resolve() / 'baton.sqlite3'}"

    def make_var(self) -> None:
        """Make the var folder, if it is not there, for its owner only."""
        self.var.mkdir(mode=0o700, parents=True, exist_ok=True)

    @cached_property
    def key(self) -> str:
        """The secret key, made and kept on the first call if none is set."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        path = self.var / "secret-key"
        if not path.exists():
            self.make_var()
            draft = path.with_name(f"secret-key.{os.getpid()}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(48))
            # A link is whole or not there: of two processes that start together, one is first.
            with suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_text().strip()


def wrong_settings(error: ValidationError) -> str:
    """What `Settings` refused, one line each, without the values."""
    return "\n".join(
        f"BATON_{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    )


def settings() -> Settings:
    """The settings of the app at hand."""
    found = current_app.config["SETTINGS"]
    assert isinstance(found, Settings)
    return found
