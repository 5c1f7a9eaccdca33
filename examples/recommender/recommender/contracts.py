"""The data step: read the item features as a reader, check them, and say how it went."""

from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from recommender.catalogue import CATEGORIES, ITEMS, Floats, Ints
from recommender.warehouse import READER, Warehouse

DATASET = "shop.item_features"
EXPECTED_EVERY_S = 3_600

SCHEMA = pa.DataFrameSchema(
    {
        "item": pa.Column(int, [pa.Check.in_range(0, ITEMS - 1)], unique=True),
        "category": pa.Column(int, [pa.Check.in_range(0, CATEGORIES - 1)]),
        "price": pa.Column(float, [pa.Check.gt(0)]),
        "in_stock": pa.Column(bool),
        "updated_at": pa.Column(pd.DatetimeTZDtype(tz="UTC"), coerce=True),
    },
    name="item_features",
    strict=True,
)


@dataclass(frozen=True)
class ItemFeatures:
    """The features that serving works with, until the next good load."""

    category: Ints
    price: Floats
    in_stock: frozenset[int]
    updated_at: datetime


class DataStep:
    """Loads the item features, and keeps the last good ones when a load fails.

    Each contract tells only what this step saw itself. A check that could not be made keeps its
    old time, so that it grows old in the open.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._lock = Lock()
        self._features: ItemFeatures | None = None
        self._contracts: dict[str, dict[str, Any]] = {}

    @property
    def features(self) -> ItemFeatures:
        if self._features is None:
            raise LookupError("The item features have never been loaded.")
        return self._features

    def run(self, *, at: datetime) -> None:
        try:
            table = self._warehouse.read_item_features(READER)
        except PermissionError:
            self._tell_access(granted=False, at=at)
        else:
            self._tell_access(granted=True, at=at)
            errors = schema_errors(table)
            self._tell("schema", "pandera", {"rows": len(table), **errors}, at=at)
            if not any(errors.values()):
                self._features = as_features(table)
        if self._features is not None:
            report = {
                "loaded_at": self._features.updated_at.isoformat(),
                "expected_every_s": EXPECTED_EVERY_S,
            }
            self._tell("freshness", "baton", report, at=at)

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._contracts.values())

    def _tell_access(self, *, granted: bool, at: datetime) -> None:
        grant = self._warehouse.grant(READER)
        report = {
            "role": READER,
            "granted": granted,
            "approver": grant.approver if grant else None,
            "reviewed_on": grant.reviewed_on if grant else None,
        }
        self._tell("access", "baton", report, at=at)

    def _tell(self, kind: str, format_: str, report: dict[str, Any], *, at: datetime) -> None:
        with self._lock:
            self._contracts[kind] = {
                "dataset": DATASET,
                "kind": kind,
                "checked_at": at.isoformat(),
                "format": format_,
                "report": report,
            }


def schema_errors(table: pd.DataFrame) -> dict[str, Any]:
    """Check the whole table, and give pandera's own report without the values it quotes."""
    try:
        SCHEMA.validate(table, lazy=True)
    except SchemaErrors as failed:
        return {
            level: {
                reason: [_without_values(error) for error in errors]
                for reason, errors in reasons.items()
            }
            for level, reasons in failed.message.items()
        }
    return {"SCHEMA": {}, "DATA": {}}


def _without_values(error: dict[str, Any]) -> dict[str, Any]:
    # "error" is a sentence that lists failing values, which are the shop's data.
    return {key: error[key] for key in ("schema", "column", "check") if key in error}


def as_features(table: pd.DataFrame) -> ItemFeatures:
    table = table.sort_values("item")
    return ItemFeatures(
        category=table["category"].to_numpy(np.int64),
        price=table["price"].to_numpy(np.float64),
        in_stock=frozenset(table.loc[table["in_stock"], "item"].tolist()),
        updated_at=table["updated_at"].max().to_pydatetime(),
    )
