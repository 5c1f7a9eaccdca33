"""The sample beside Baton: where it answers, and the switches that break it.

It is a program of its own with a folder of its own. There it leaves its address and the token that
its switches ask for; nothing of it is imported. It is asked on loopback only, whatever the file
with the address says.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9][0-9]{0,4}")
PATIENCE = (1.0, 3.0)  # seconds to connect, and until it answers
MAX_BYTES = 65_536


class AwayError(Exception):
    """The sample does not answer, or not as it should. `args[0]` is a sentence."""


class Fault(BaseModel):
    """A way in which the sample can be broken."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z-]{0,39}$")
    moves: str = Field(max_length=40)  # the one signal that shows it
    does: str = Field(max_length=300)
    since: AwareDatetime | None = None  # none: it is off


FAULTS = TypeAdapter(list[Fault])


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample whose state lies in a folder."""

    folder: Path

    @property
    def is_here(self) -> bool:
        """Whether it has ever run on this host."""
        return self.folder.is_dir()

    @property
    def address(self) -> str | None:
        """Where it answers, as in http://127.0.0.1:8090; none if it does not run."""
        said = self._said("address")
        return said if ADDRESS.fullmatch(said) else None

    def faults(self) -> Sequence[Fault]:
        return self._ask("GET", "/faults")

    def inject(self, fault: str) -> Sequence[Fault]:
        return self._ask("PUT", f"/faults/{fault}")

    def heal(self, fault: str | None = None) -> Sequence[Fault]:
        return self._ask("DELETE", f"/faults/{fault}" if fault else "/faults")

    def _ask(self, method: str, path: str) -> Sequence[Fault]:
        if self.address is None:
            raise AwayError("The sample does not run.")
        try:
            with requests.Session() as session:
                session.trust_env = False  # a proxy has no business on loopback
                answer = session.request(
                    method,
                    self.address + path,
                    headers={"Authorization": f"Bearer {self._said('control-token')}"},
                    timeout=PATIENCE,
                    allow_redirects=False,
                    stream=True,
                )
                body = b""
                for part in answer.iter_content(8_192):
                    body += part
                    if len(body) > MAX_BYTES:
                        break
            if answer.status_code != requests.codes.ok or len(body) > MAX_BYTES:
                raise AwayError(f"The sample refused, with status {answer.status_code}.")
            return FAULTS.validate_json(body)
        except requests.RequestException:
            raise AwayError("The sample does not answer.") from None
        except (ValidationError, OSError):
            raise AwayError("What answers at the sample's address is not the sample.") from None

    def _said(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(errors="replace")[:200].strip()
        except OSError:
            return ""
