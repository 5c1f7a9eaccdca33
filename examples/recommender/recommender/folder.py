"""Where everything lies that outlives a request."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """The one folder that the processes share, and the only place they write to."""

    root: Path

    def __post_init__(self) -> None:
        self.faults.mkdir(parents=True, exist_ok=True)

    @property
    def catalogue(self) -> Path:
        return self.root / "catalogue.npz"

    @property
    def reference(self) -> Path:
        return self.root / "reference.json"

    def model(self, version: str) -> Path:
        return self.root / f"model-{version}.npz"

    @property
    def item_features(self) -> Path:
        return self.root / "item_features.csv"

    @property
    def grants(self) -> Path:
        return self.root / "grants.json"

    @property
    def faults(self) -> Path:
        return self.root / "faults"

    @property
    def address(self) -> Path:
        return self.root / "address"

    def tell_address(self, url: str) -> None:
        # Renamed into place: whoever looks for it reads all of it or nothing.
        unfinished = self.address.with_suffix(".tmp")
        unfinished.write_text(url)
        unfinished.replace(self.address)

    def control_token(self) -> str:
        """Give the token that switches faults, and make one on the first start."""
        path = self.root / "control-token"
        if not path.exists():
            # Created readable by its owner alone, rather than narrowed afterwards.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(32))
        return path.read_text().strip()
