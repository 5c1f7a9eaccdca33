"""Models against failure modes."""

from datetime import UTC, datetime, timedelta

import pytest

from app.runbooks.coverage import Cover, Matrix, Model, Written, as_table
from app.runbooks.rules import FAILURE_MODES, Published

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOME = Model("reco-home", ("ranking",))
FRAUD = Model("fraud", ())


def written(slug="drift", mode="input_drift", *, models=(), tags=(), signal=True, proven=1):
    book = Published(
        version_id=hash(slug), slug=slug, number=1, title=slug, failure_mode=mode, severity=None,
        alertnames=frozenset(), models=models, tags=tags, owner=None, escalate_to=None,
        escalate_after=None,
    )  # fmt: skip
    return Written(book, signal, NOON - proven * DAY if proven is not None else None)


def cell(*books, model=HOME, mode="input_drift"):
    return Matrix(books, NOON).cell(model, mode)


def test_without_a_runbook_nothing_covers():
    assert cell().cover is Cover.NONE
    assert cell(written(mode="output_drift")).cover is Cover.NONE


@pytest.mark.parametrize(
    ("signal", "proven", "cover"),
    [
        (True, 89, Cover.PROVEN),
        (True, 90, Cover.PROVEN),
        (True, 91, Cover.UNPROVEN),
        (True, None, Cover.UNPROVEN),
        (False, 1, Cover.NO_SIGNAL),
    ],
)
def test_a_cell_says_what_is_missing(signal, proven, cover):
    assert cell(written(signal=signal, proven=proven)).cover is cover


def test_a_runbook_for_other_models_does_not_cover():
    books = (written(models=("reco-*",), tags=("ranking",)),)

    assert cell(*books, model=HOME).slug == "drift"
    assert cell(*books, model=FRAUD).cover is Cover.NONE


def test_of_several_the_one_that_would_open_counts():
    books = (written("any"), written("own", models=("reco-home",), proven=None))

    assert cell(*books, model=HOME).slug == "own"
    assert cell(*books, model=FRAUD).slug == "any"


def test_columns_are_the_catalogue_and_what_else_is_in_use():
    modes = Matrix((written(mode="moon_phase"),), NOON).modes

    assert modes == [*FAILURE_MODES, "moon_phase"]


def test_totals_are_the_sum_of_the_cells():
    matrix = Matrix(
        (written("a"), written("b", models=("reco-*",)), written("c", "output_drift", signal=False),
         written("d", "cost_runaway", tags=("ranking",), proven=None)),
        NOON,
    )  # fmt: skip
    models = [HOME, FRAUD, Model("x", ("ranking",))]

    counted = dict.fromkeys(Cover, 0)
    for model in models:
        for one in matrix.row(model):
            counted[one.cover] += 1

    assert {cover: matrix.totals(models)[cover] for cover in Cover} == counted


def test_the_table_says_it_in_words():
    rows = as_table(Matrix((written(),), NOON), [(HOME, ["1", "Home"])])

    assert rows[0][:4] == ["reco-home", "1", "Home", "Proven"]
    assert set(rows[0][4:]) == {"None"}
