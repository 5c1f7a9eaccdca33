"""The ranking provider: a service of another team, asked over HTTP for every request."""

import argparse
import time
from typing import Any

import numpy as np
from flask import Flask, request

from recommender.faults import Faults
from recommender.folder import Folder
from recommender.http import serve_http
from recommender.model import GOOD, Model
from recommender.processes import state_folder

LIKING_WEIGHT = 0.3
FED_BACK_WEIGHT = 2.0
SLOW_SHARE = 0.1
SLOW_SECONDS = (0.17, 0.20)


def create_app(folder: Folder) -> Flask:
    app = Flask(__name__)
    model = Model.load(folder.model(GOOD))
    faults = Faults(folder)
    rng = np.random.default_rng()

    @app.post("/rank")
    def rank() -> dict[str, Any]:
        asked = request.get_json()
        if faults.active("slow-provider") and rng.random() < SLOW_SHARE:
            time.sleep(rng.uniform(*SLOW_SECONDS))
        fed_back = FED_BACK_WEIGHT if faults.active("feedback-loop") else 0.0
        return {"ranked": ranked(model, asked, fed_back=fed_back)}

    return app


def ranked(model: Model, asked: dict[str, Any], *, fed_back: float) -> list[int]:
    """Order the candidates by likeness, by the user's liking, and by what was shown before.

    The last weight is zero, as it should be: with it, what is shown is liked because it is shown.
    """
    items = np.asarray(asked["items"])
    scores = np.asarray(asked["similarity"], dtype=float)
    if asked["personal"]:
        # Ids this service does not know keep the score they came with.
        known = items < len(model.item_directions)
        liking = model.item_directions[items[known]] @ model.user_directions[asked["user"]]
        scores[known] += LIKING_WEIGHT * liking
    shown = np.log1p(asked["shown"])
    scores += fed_back * shown / max(float(shown.max()), 1.0)
    order: list[int] = items[np.argsort(-scores, kind="stable")].tolist()
    return order


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--var", type=state_folder, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    serve_http(create_app(options.var), port=options.port, threads=8)


if __name__ == "__main__":
    main()
