"""The shop's warehouse: it exports the item features and decides who may read them.

In a real shop this is somebody else's system. It is here because three of its failures – old
data, broken data, a lost grant – are what the recommender has to survive and to report.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from recommender.catalogue import ITEMS, Catalogue
from recommender.faults import Faults
from recommender.folder import Folder

READER = "recommender-reader"
APPROVER = "data-owner@shop.example"
OLD_EXPORT = timedelta(hours=3)


@dataclass(frozen=True)
class Grant:
    role: str
    granted: bool
    approver: str
    reviewed_on: str


class Warehouse:
    def __init__(self, folder: Folder, catalogue: Catalogue, faults: Faults) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._faults = faults

    def export(self, *, at: datetime) -> None:
        """Write the item features, as broken as the faults say."""
        stale = self._faults.active("stale-features")
        updated_at = at - OLD_EXPORT if stale else at
        rng = np.random.default_rng(int(at.timestamp()))
        table = pd.DataFrame(
            {
                "item": np.arange(ITEMS),
                "category": self._catalogue.category,
                "price": self._catalogue.price,
                "in_stock": rng.random(ITEMS) > 0.03,
                "updated_at": updated_at.isoformat(),
            }
        )
        if self._faults.active("schema-break"):
            table.loc[table["item"] % 50 == 0, "price"] *= -1
            table = table.drop(columns="category")
        # Renamed into place: a reader sees the old export or the new one, never half of one.
        unfinished = self._folder.item_features.with_suffix(".tmp")
        table.to_csv(unfinished, index=False)
        unfinished.replace(self._folder.item_features)

    def administer(self, *, at: datetime) -> None:
        """Keep the grants, and take the reader's away when the fault says so."""
        grant = self.grant(READER) or Grant(READER, True, APPROVER, f"{at:%Y-%m-%d}")
        granted = not self._faults.active("revoked-access")
        kept = asdict(grant) | {"granted": granted}
        self._folder.grants.write_text(json.dumps([kept], indent=2))

    def grant(self, role: str) -> Grant | None:
        if not self._folder.grants.exists():
            return None
        grants = [Grant(**kept) for kept in json.loads(self._folder.grants.read_text())]
        return next((grant for grant in grants if grant.role == role), None)

    def read_item_features(self, role: str) -> pd.DataFrame:
        grant = self.grant(role)
        if grant is None or not grant.granted:
            raise PermissionError(f"{role} may not read the item features.")
        return pd.read_csv(self._folder.item_features, parse_dates=["updated_at"])
