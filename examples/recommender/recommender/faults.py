"""The switches that break this system on purpose, each in one way."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from recommender.folder import Folder


@dataclass(frozen=True)
class Fault:
    name: str
    moves: str  # the one signal that shows it
    does: str


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "slow-provider",
            "latency",
            "One ranking call in ten takes 170 to 200 ms, below the timeout.",
        ),
        Fault("provider-down", "fallback", "The ranking provider's process is stopped."),
        Fault("shifted-inputs", "input_drift", "A campaign brings new users, nearly all by app."),
        Fault("feedback-loop", "output_quality", "The ranking rewards what it has shown before."),
        Fault("stale-features", "freshness", "The export repeats features of three hours ago."),
        Fault("schema-break", "schema", "The export holds negative prices and lacks categories."),
        Fault("revoked-access", "access", "The reader role loses its grant on the features."),
        Fault("bad-model-push", "errors", "Version v2 goes live, with a fifth of its ids wrong."),
    )
}


class Faults:
    """Which faults are on.

    A fault is a file, so that the serving process, the provider and the visitors see the same
    switches without talking to one another, and a restart changes nothing.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder.faults

    def active(self, name: str) -> bool:
        return (self._folder / name).exists()

    def inject(self, name: str) -> None:
        path = self._folder / FAULTS[name].name
        if not path.exists():
            path.write_text(datetime.now(UTC).isoformat())

    def heal(self, name: str) -> None:
        (self._folder / FAULTS[name].name).unlink(missing_ok=True)

    def heal_all(self) -> None:
        for name in FAULTS:
            self.heal(name)

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {
                "name": fault.name,
                "moves": fault.moves,
                "does": fault.does,
                "since": self._since(fault.name),
            }
            for fault in FAULTS.values()
        ]

    def _since(self, name: str) -> str | None:
        try:
            return (self._folder / name).read_text()
        except FileNotFoundError:
            return None
