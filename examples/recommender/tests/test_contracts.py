import json
from datetime import datetime, timedelta

import pytest
from recommender.contracts import EXPECTED_EVERY_S, DataStep
from recommender.warehouse import Warehouse

from tests.conftest import NOON

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def warehouse(folder, shop, faults) -> Warehouse:
    return Warehouse(folder, shop, faults)


@pytest.fixture
def data(warehouse) -> DataStep:
    """A data step after one good load."""
    data = DataStep(warehouse)
    load(warehouse, data, at=NOON)
    return data


def load(warehouse, data, *, at) -> dict[str, dict]:
    warehouse.administer(at=at)
    warehouse.export(at=at)
    data.run(at=at)
    return {contract["kind"]: contract for contract in data.as_json()}


def age(contracts, *, at) -> float:
    loaded_at = datetime.fromisoformat(contracts["freshness"]["report"]["loaded_at"])
    return (at - loaded_at).total_seconds()


def test_a_good_load_is_valid_fresh_and_granted(warehouse, data):
    contracts = load(warehouse, data, at=LATER)
    assert contracts["schema"]["report"] == {"rows": 2_000, "SCHEMA": {}, "DATA": {}}
    assert age(contracts, at=LATER) == 0
    assert contracts["access"]["report"]["granted"] is True


def test_a_stale_export_is_valid_and_too_old(warehouse, data, faults):
    faults.inject("stale-features")
    contracts = load(warehouse, data, at=LATER)
    assert age(contracts, at=LATER) > EXPECTED_EVERY_S
    assert not contracts["schema"]["report"]["SCHEMA"]


def test_a_broken_export_is_told_without_its_values_and_not_loaded(warehouse, data, faults):
    before = data.features
    faults.inject("schema-break")
    report = load(warehouse, data, at=LATER)["schema"]["report"]
    assert [error["column"] for error in report["DATA"]["DATAFRAME_CHECK"]] == ["price"]
    assert report["SCHEMA"]["COLUMN_NOT_IN_DATAFRAME"][0]["column"] == "category"
    assert str(before.price[0]) not in json.dumps(report)
    assert data.features is before


def test_without_a_grant_nothing_is_read_and_no_check_is_claimed(warehouse, data, faults):
    before = data.features
    faults.inject("revoked-access")
    contracts = load(warehouse, data, at=LATER)
    assert contracts["access"]["report"]["granted"] is False
    assert contracts["schema"]["checked_at"] == NOON.isoformat()
    assert age(contracts, at=LATER) == 60
    assert data.features is before


def test_every_contract_recovers(warehouse, data, faults):
    for name in ("stale-features", "schema-break", "revoked-access"):
        faults.inject(name)
        load(warehouse, data, at=LATER)
    faults.heal_all()
    contracts = load(warehouse, data, at=LATER)
    assert contracts["access"]["report"]["granted"] is True
    assert contracts["schema"]["report"]["DATA"] == {}
    assert age(contracts, at=LATER) == 0
