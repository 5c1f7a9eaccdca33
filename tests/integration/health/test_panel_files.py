"""Files of sources and panels: what they make, what they leave, and every problem with its line."""

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from app.core.clock import now
from app.core.db import db, end_read
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health import datasets, panel_imports, service
from app.health.asking import Asking
from app.health.panel_files import EXAMPLE, FORMAT, read_file
from app.health.presets import PRESETS
from app.health.service import SourceDraft
from app.health.sources.reading import Given
from app.health.tables import HealthSource, Panel
from app.people.rules import COMMAND_LINE as BY
from app.people.tables import AuditEntry
from tests.support import factories

HOST = "serving.example.com:9000"
SECRET = "s3cret-token-of-20-ch"


@pytest.fixture
def model(app):
    service.allow_host(HOST, "", by=BY, at=now())
    return factories.model("shop-similar", owner=factories.team())


def load(text):
    file, problems = read_file(text)
    return panel_imports.plan_import(file, problems)


def take(text):
    file, problems = read_file(text)
    assert problems == []
    return panel_imports.import_file(file, by=BY, at=now())


def problems_of(text):
    return [str(problem) for problem in load(text).problems]


def count(table):
    end_read()
    return db.session.scalar(select(func.count()).select_from(table))


def panel(slug):
    end_read()
    return db.session.scalars(select(Panel).where(Panel.slug == slug)).one()


def test_the_example_is_imported_and_again_changes_nothing(model):
    plan = take(EXAMPLE)

    made = len(PRESETS["recommender"].panels) - 1 + 1
    assert (plan.count("create"), plan.count("change")) == (made + 1, 0)
    assert (panel("p99").above, panel("p99").clear) == (120.0, 110.0)
    assert panel("p99").preset == "recommender"
    assert panel("p99").spec["labels"] == {"model": "shop-similar"}
    assert panel("checkout-p95").spec["metric"] == "checkout_seconds"
    trail = count(AuditEntry)

    again = take(EXAMPLE)

    assert (again.count("create"), again.count("change")) == (0, 0)
    assert count(AuditEntry) == trail


def test_what_is_written_reads_as_the_same(model):
    take(EXAMPLE)
    written = panel_imports.export()

    plan = load(written)

    assert plan.problems == ()
    assert {step.does for step in plan.steps} == {"keep"}
    assert panel_imports.export("shop-similar") == written


def test_what_is_written_makes_the_same_elsewhere(model, app):
    take(EXAMPLE)
    written = panel_imports.export()
    for row in [*db.session.scalars(select(Panel)), *db.session.scalars(select(HealthSource))]:
        db.session.delete(row)
    db.session.commit()

    take(written)

    assert panel_imports.export() == written


def test_a_dry_run_writes_nothing(model):
    plan = load(EXAMPLE)

    assert plan.count("create") > 5
    assert (count(Panel), count(HealthSource)) == (0, 0)


def test_a_changed_file_changes_that_and_says_so(model):
    take(EXAMPLE)

    plan = take(EXAMPLE.replace("above: 250, clear: 225", "above: 300, clear: 225"))

    (step,) = [step for step in plan.steps if step.does == "change"]
    assert step.changes == ("above: 250.0 → 300.0",)
    assert panel("checkout-p95").above == 300.0


def test_what_a_file_leaves_out_stays(model):
    take(EXAMPLE)
    short = "format: health/1\nmodels:\n  shop-similar:\n    panels:\n      checkout-p95: {severity: 2}\n"

    take(short)

    assert (panel("checkout-p95").severity, panel("checkout-p95").above) == (2, 250.0)
    assert panel("p99").closed_at is None


def test_what_was_closed_is_opened_again(model):
    take(EXAMPLE)
    service.close_panel(panel("p99").id, by=BY, at=now())
    source = db.session.scalars(select(HealthSource)).one()
    service.close_source(source.id, by=BY, at=now())

    plan = take(EXAMPLE)

    assert plan.count("change") == 2
    assert panel("p99").closed_at is None
    end_read()
    assert db.session.scalars(select(HealthSource)).one().closed_at is None


def test_a_file_neither_holds_a_secret_nor_takes_one_away(model):
    draft = SourceDraft(
        "Serving prod", "openmetrics", f"http://{HOST}/metrics", secret={"bearer": SECRET}
    )
    service.create_source(draft, slug="serving-prod", by=BY, at=now())

    assert SECRET not in panel_imports.export()
    take(EXAMPLE.replace("every: 30", "every: 60"))

    end_read()
    source = db.session.scalars(select(HealthSource)).one()
    assert source.every == 60
    assert Asking.of(source).secret == {"bearer": SECRET}
    elsewhere = EXAMPLE.replace(":9000/", ":9001/")
    service.allow_host("serving.example.com:9001", "", by=BY, at=now())
    assert "Give its sign-in again" in problems_of(elsewhere)[0]


def test_panels_of_data_inputs_are_not_in_a_file(model):
    check = {"dataset": "clicks", "checked_at": now().isoformat(), "kind": "freshness",
             "format": "baton", "report": {"loaded_at": now().isoformat()}}  # fmt: skip
    datasets.push(check, given=Given(received_at=now()), by=BY, at=now())
    datasets.link("clicks", "shop-similar", by=BY, at=now())

    assert "clicks" not in panel_imports.export()
    text = "format: health/1\nmodels:\n  shop-similar:\n    panels:\n      schema-clicks: {severity: 1}\n"
    assert "watches a data input" in problems_of(text)[0]


def test_every_problem_is_told_with_its_line(model):
    text = """\
format: health/1
sources:
  elsewhere:
    name: Elsewhere
    kind: openmetrics
    url: http://elsewhere.example.com/metrics
  odd:
    name: Odd
    kind: carrier-pigeon
    url: http://serving.example.com:9000/
models:
  nobody:
    panels: {}
  shop-similar:
    presets:
      - use: tea-leaves
        source: elsewhere
    panels:
      mute: {title: Mute, lane: latency}
      wrong:
        title: Wrong
        lane: latency
        source: elsewhere
        spec: {stat: guess}
        rule: {above: 1}
      lost: {preset: kserve, source: nowhere}
      strange: {preset: kserve, source: elsewhere}
"""

    assert [said.partition(": ")[0] for said in problems_of(text)] == [
        "Line 3", "Line 7", "Line 12", "Line 16", "Line 19", "Line 20", "Line 26", "Line 27",
    ]  # fmt: skip
    assert (count(Panel), count(HealthSource)) == (0, 0)
    file, _ = read_file(text)
    with pytest.raises(RefusedError, match="Line 3"):
        panel_imports.import_file(file, by=BY, at=now())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file is empty"),
        ("- a", "The file is empty"),
        ("format: health/2", "Line 1: format: write format: health/1."),
        ("format: health/1\ncolour: red", "Line 2: colour: is not known here."),
        ("format: health/1\nformat: health/1", "Line 2: this is not YAML: format stands there"),
        ("format: health/1\nmodels: &a\n  b: *a", "Line 3: Aliases"),
        ("format: [", "this is not YAML"),
        (b"\xff\xfe\xfd", "not UTF-8"),
        ("format: health/1\nsources:\n  a b: {name: x, kind: y, url: z}", "Line 3: sources, a b"),
        (
            "format: health/1\nmodels:\n  m:\n    panels:\n      p:\n        rule: {above: .nan}",
            "Line 6: models, m, panels, p, rule, above: Input should be a finite number.",
        ),
        (
            "format: health/1\nmodels:\n  m:\n    panels:\n      p:\n        spec: {q: .inf}",
            "Line 6: models, m, panels, p, spec: A number in the spec is NaN or infinite.",
        ),
        ("format: health/1\nmodels:\n  m:\n    panels:\n      new: {}", "address of a form"),
        ("? [a]\n: b", "not"),
    ],
)
def test_a_file_of_another_shape_is_refused(app, text, said):
    (problem, *_) = problems_of(text)

    assert said in problem


def test_json_is_taken_too(model):
    file, problems = read_file(json.dumps(yaml.safe_load(EXAMPLE)), is_json=True)

    assert problems == []
    assert panel_imports.plan_import(file, problems).problems == ()
    assert str(read_file("{", is_json=True)[1][0]) == "This is not JSON that can be read."


def test_the_source_of_a_panel_can_t_change(model):
    take(EXAMPLE)
    service.create_source(
        SourceDraft("Other", "openmetrics", f"http://{HOST}/"), slug="other", by=BY, at=now()
    )

    text = EXAMPLE.replace(
        "        source: serving-prod\n        unit", "        source: other\n        unit"
    )

    assert "source of a panel can't change" in problems_of(text)[0]


def test_what_changed_since_it_was_shown_is_not_imported(model):
    file, _ = read_file(EXAMPLE)
    shown = panel_imports.plan_import(file, []).fingerprint
    take(EXAMPLE)

    with pytest.raises(ConflictError, match="Look again"):
        panel_imports.import_file(file, seen=shown, by=BY, at=now())


def test_a_pushed_panel_needs_no_source_and_a_verdict(model):
    text = """\
format: health/1
models:
  shop-similar:
    panels:
      input-drift:
        title: Input drift
        lane: input_drift
        spec: {verdict: tool}
        rule: {above: 0.2, min_rows: 1000}
"""
    take(text)

    assert panel("input-drift").source_id is None
    assert "Name a source" in problems_of(text.replace("input_drift", "latency"))[0]


def test_export_of_a_model_that_is_not_there_says_so(app):
    with pytest.raises(NotFoundError, match="no model nobody"):
        panel_imports.export("nobody")


# --- The API


def post(client, headers, text, path="/api/v1/health/import", media="application/yaml"):
    return client.post(path, data=text, headers=headers | {"Content-Type": media})


def test_a_file_is_imported_by_the_api(client, token, model):
    headers = token("health:write", "integrations:write")

    tried = post(client, headers, EXAMPLE, "/api/v1/health/import?dry_run=true")
    assert (tried.status_code, count(Panel)) == (200, 0)
    done = post(client, headers, EXAMPLE)
    again = post(client, headers, EXAMPLE)

    assert done.json["created"] == tried.json["created"] > 5
    assert (again.json["created"], again.json["changed"]) == (0, 0)


def test_a_file_with_a_new_source_takes_the_scope_of_sources(client, token, model):
    headers = token("health:write")

    refused = post(client, headers, EXAMPLE)

    assert refused.status_code == 403
    assert "integrations:write" in refused.json["detail"]
    assert count(HealthSource) == 0
    take(EXAMPLE)
    assert post(client, headers, EXAMPLE).status_code == 200  # its source stays as it is


def test_the_api_tells_every_problem_with_its_line(client, token, model):
    headers = token("health:write")
    text = EXAMPLE.replace("serving.example.com", "elsewhere.example.com")

    tried = post(client, headers, text, "/api/v1/health/import?dry_run=true")
    done = post(client, headers, text)

    assert tried.json["problems"][0]["line"] == 3
    assert done.status_code == 422
    assert "not on the list" in done.json["detail"]


# --- Whatever comes

texts = st.sampled_from(["", "p99", "health/1", "serving-prod", "\x00", "recommender", "new"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.text(max_size=6)
KEYS = ("format", "sources", "models", "shop-similar", "panels", "presets", "use", "rule", "above",
        "spec", "stat", "metric", "title", "lane", "source", "preset", "name", "kind", "url")  # fmt: skip
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
files = st.builds(
    lambda panels, sources: {
        "format": FORMAT, "sources": sources, "models": {"shop-similar": panels},
    },
    st.fixed_dictionaries({}, optional={
        "panels": st.dictionaries(st.sampled_from(["p99", "a", "b"]), junk | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("preset", "source", "title", "lane", "spec", "rule"), junk)
        ), max_size=2),
        "presets": junk,
    }),
    st.dictionaries(st.sampled_from(["a", "serving-prod"]), junk, max_size=1),
)  # fmt: skip


@settings(
    deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(document=files | junk)
def test_whatever_a_file_says_it_is_planned_or_refused(app, model, document):
    plan = load(yaml.safe_dump(document))

    assert all(str(problem).endswith(".") for problem in plan.problems)
    if not plan.problems:
        take(yaml.safe_dump(document))
        assert {step.does for step in load(panel_imports.export()).steps} <= {"keep"}
