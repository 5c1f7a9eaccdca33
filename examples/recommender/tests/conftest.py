"""What the tests share."""

import os

# The arrays are small, and the machine that tests may be busy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from datetime import UTC, datetime

import numpy as np
import pytest
from recommender.catalogue import SEED, Catalogue, generate
from recommender.drift import Reference, make_reference
from recommender.faults import Faults
from recommender.folder import Folder
from recommender.learning import learn
from recommender.model import GOOD, Model

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def shop() -> Catalogue:
    return generate(SEED)


@pytest.fixture(scope="session")
def model(shop) -> Model:
    return learn(shop.buyer, shop.bought, version=GOOD, at=NOON, seed=SEED)


@pytest.fixture(scope="session")
def reference(shop, model) -> Reference:
    return make_reference(shop, model, np.random.default_rng(SEED))


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def faults(folder) -> Faults:
    return Faults(folder)
