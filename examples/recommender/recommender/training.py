"""The first start: make the shop, train on it, and keep what serving and monitoring need."""

import argparse
from datetime import UTC, datetime

import numpy as np

from recommender.catalogue import SEED, generate
from recommender.drift import make_reference
from recommender.folder import Folder
from recommender.learning import learn, with_wrong_ids
from recommender.model import BAD, GOOD
from recommender.processes import end_with_parent, state_folder


def train(folder: Folder, *, at: datetime) -> None:
    """Train, and write the reference last: with it, a folder is complete."""
    shop = generate(SEED)
    good = learn(shop.buyer, shop.bought, version=GOOD, at=at, seed=SEED)
    shop.save(folder.catalogue)
    good.save(folder.model(GOOD))
    # The bad version lies ready from the start, as a build would; the fault only pushes it.
    with_wrong_ids(good, version=BAD, seed=SEED).save(folder.model(BAD))
    make_reference(shop, good, np.random.default_rng(SEED)).save(folder.reference)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--var", type=state_folder, required=True)
    options = parser.parse_args()
    end_with_parent()
    train(options.var, at=datetime.now(UTC))


if __name__ == "__main__":
    main()
