"""OpenSLO v1: what is taken, what is refused with a reason, and that nothing is lost on the way."""

import json
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.health import counting, openslo, openslo_out
from app.health.sources.querying import promql

GOOD = 'sum(increase(http_seconds_bucket{le="0.25"}[{{.window}}]))'
TOTAL = "sum(increase(http_seconds_count[{{.window}}]))"


def metric(query, type_="Prometheus", ref=None):
    source = {"type": type_, "spec": {"query": query} if isinstance(query, str) else query}
    return {"metricSource": source | ({"metricSourceRef": ref} if ref else {})}


def ratio(**more):
    return {"counter": True, "good": metric(GOOD), "total": metric(TOTAL)} | more


def slo(name="within-250-ms", *, indicator=None, metadata=None, **spec):
    spec = {
        "service": "recsys-home",
        "indicator": indicator or {"metadata": {"name": "slow"}, "spec": {"ratioMetric": ratio()}},
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": 0.99}],
    } | spec
    if "indicatorRef" in spec:
        del spec["indicator"]
    return document("SLO", name, {key: said for key, said in spec.items() if said is not None},
                    **(metadata or {}))  # fmt: skip


def document(kind, name, spec, **metadata):
    return {
        "apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name} | metadata,
        "spec": spec,
    }  # fmt: skip


def of(spec):
    return {"metadata": {"name": "events"}, "spec": spec}


def read(*documents):
    # A copy, so that nothing in it is the same object twice and becomes an alias.
    return openslo.read(yaml.safe_dump_all(json.loads(json.dumps(documents))))


def one(*documents):
    found = read(*documents)
    assert found.problems == ()
    return found.levels[0]


def stored(level, number=1):
    """The service level as it stands in the database."""
    draft = level.draft
    source = SimpleNamespace(id=number, slug=level.source or "prom", name="Prom", kind=level.kind)
    return SimpleNamespace(
        slug=draft.slug, title=draft.title, target=draft.target, window_days=draft.window_days,
        spec=draft.spec, min_events=draft.min_events, failure_mode=draft.failure_mode,
        source=source,
    )  # fmt: skip


# --- What is taken


def test_good_and_total_become_bad_and_total():
    level = one(slo(metadata={"displayName": "Requests within 250 ms"}))

    draft = level.draft
    assert (draft.slug, draft.title) == ("within-250-ms", "Requests within 250 ms")
    assert (draft.target, draft.window_days, level.kind) == (0.99, 28, "prometheus")
    total = "sum(increase(http_seconds_count[$w]))"
    assert draft.spec["total"] == total
    # No series of good events means that none was good.
    good = 'sum(increase(http_seconds_bucket{le="0.25"}[$w]))'
    assert draft.spec["bad"] == f"{total} - ({good} or vector(0))"


def test_an_indicator_and_a_source_may_stand_in_documents_of_their_own():
    parts = ratio(good=None, bad=metric("sum(increase(failed[{{ .window }}]))", ref="main"),
                  total=metric(TOTAL, ref="main"))  # fmt: skip
    for part in ("bad", "total"):
        del parts[part]["metricSource"]["type"]
    level = one(
        document("DataSource", "main", {"type": "Thanos", "connectionDetails": {}}),
        document("SLI", "failures", {"ratioMetric": parts}),
        slo(indicatorRef="failures"),
    )

    assert level.source == "main"
    assert level.draft.spec["bad"] == "sum(increase(failed[$w]))"


def test_a_plain_counter_is_counted_over_each_window_as_the_specification_writes_it():
    parts = {
        "counter": True,
        "good": metric('sum(server_requests{code=~"2xx|3xx"})'),
        "total": metric('server_requests{code="total"}'),
    }

    found = read(slo(indicator=of({"ratioMetric": parts})))

    assert found.levels[0].draft.spec["total"] == (
        'sum(increase(server_requests{code="total"}[$w]))'
    )
    assert "SLO within-250-ms: the increase of the counter in good is counted." in found.notes


def test_rates_are_read_as_increases_and_that_is_told():
    parts = {"bad": metric("sum(rate(failed[{{.window}}]))"), "total": metric(TOTAL)}

    found = read(slo(indicator=of({"ratioMetric": parts})))

    assert found.levels[0].draft.spec["bad"] == "sum(increase(failed[$w]))"
    assert any("is read as increase" in note for note in found.notes)


def test_a_percentage_is_a_ratio_and_weeks_are_days():
    level = one(slo(objectives=[{"targetPercent": 99.95}], timeWindow=[{"duration": "4w"}]))

    assert (level.draft.target, level.draft.window_days) == (0.9995, 28)


def test_each_objective_becomes_a_service_level():
    found = read(slo(objectives=[{"displayName": "Good", "target": 0.99}, {"target": 0.9}]))

    assert [(one.draft.slug, one.draft.title, one.draft.target) for one in found.levels] == [
        ("within-250-ms", "within-250-ms: Good", 0.99),
        ("within-250-ms-2", "within-250-ms: 90 %", 0.9),
    ]
    assert "SLO within-250-ms: each of its 2 objectives is a service level." in found.notes


def test_what_sloth_and_pyrra_record_is_recognised():
    sloth = 'slo:sli_error:ratio_rate{{.window}}{sloth_slo="requests", sloth_service="shop"}'
    pyrra = 'http_requests:burnrate{{.window}}{slo="shop-requests"}'

    specs = [
        one(slo(indicator=of({"ratioMetric": {"rawType": "failure", "raw": metric(query)}})))
        .draft.spec
        for query in (sloth, pyrra)
    ]  # fmt: skip

    assert {name: specs[0][name] for name in ("recorded", "service", "slo")} == {
        "recorded": "sloth", "service": "shop", "slo": "requests",
    }  # fmt: skip
    assert (specs[1]["recorded"], specs[1]["slo"]) == ("pyrra", "shop-requests")


def test_a_threshold_of_a_histogram_counts_what_is_over_it():
    threshold = metric({"metric": "http_seconds", "labels": {"model": "m"}}, "OpenMetrics")

    level = one(
        slo(indicator=of({"thresholdMetric": threshold}),
            objectives=[{"op": "lte", "value": 0.25, "target": 0.99}])
    )  # fmt: skip

    assert level.kind == "openmetrics"
    assert level.draft.spec["over"] == 0.25
    assert level.draft.spec["metric"] == "http_seconds"


# --- What is refused, and what is told


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (slo(budgetingMethod="Timeslices"), "Baton counts events, not minutes that were good"),
        (slo(budgetingMethod="RatioTimeslices"), "only Occurrences can be taken"),
        (slo(budgetingMethod="occurrences"), "Baton knows Occurrences"),
        (slo(timeWindow=[{"duration": "1M", "isRolling": True}]), "differ in length"),
        (slo(timeWindow=[{"duration": "12h", "isRolling": True}]), "whole days, 1 to 90"),
        (slo(timeWindow=[{"duration": "365d", "isRolling": True}]), "whole days, 1 to 90"),
        (slo(timeWindow=[{"duration": "28d", "isRolling": False}]), "follows the calendar"),
        (
            slo(timeWindow=[{"duration": "28d", "calendar": {"startTime": "2026-01-01"}}]),
            "follows the calendar",
        ),
        (slo(timeWindow="28d"), "not a list of one window"),
        (slo(objectives=[]), "no objectives"),
        (slo(objectives=[{"target": 1}]), "between 0 and 1"),
        (slo(objectives=[{"target": True}]), "between 0 and 1"),
        (slo(objectives=[{"targetPercent": 0}]), "between 0 and 100"),
        (slo(objectives=[{"target": 0.9, "targetPercent": 90}]), "either target or targetPercent"),
        (slo(objectives=[{"target": 0.9, "compositeWeight": 1}]), "Composites can't be taken"),
        (slo(indicator=of({"thresholdMetric": metric("up")})), "no events to count"),
        (slo(indicator=of({})), "either a ratioMetric or a thresholdMetric"),
        (slo(indicator=of({"ratioMetric": ratio(bad=metric(GOOD))})), "either good or bad"),
        (slo(indicator=of({"ratioMetric": ratio(total=None)})), "needs total"),
        (
            slo(indicator=of({"ratioMetric": ratio(good=metric(GOOD, "Datadog"))})),
            "of the type Datadog",
        ),
        (
            slo(indicator=of({"ratioMetric": ratio(good=metric(GOOD, ref="other"))})),
            "two sources",
        ),
        (
            slo(indicator=of({"ratioMetric": ratio(good=metric("sum(rate(x[5m]))"))})),
            "looks back over one fixed time",
        ),
        (
            slo(indicator=of({"ratioMetric": ratio(counter=False, good=metric("sum(x)"))})),
            "has no window",
        ),
        (
            slo(indicator=of({"ratioMetric": ratio(good=metric("sum(x[{{.window}}])) by"))})),
            "not closed",
        ),
        (
            slo(indicator=of({"ratioMetric": ratio(good=metric("x{{.other}}[{{.window}}]"))})),
            "a placeholder other than",
        ),
        (
            slo(indicator=of({"ratioMetric": {"rawType": "failure", "raw": metric("my:ratio")}})),
            "sloth and pyrra record",
        ),
    ],
)
def test_what_would_mean_something_else_here_is_refused(document, why):
    found = read(document)

    assert found.levels == ()
    assert why in " ".join(found.problems)
    assert found.problems[0].startswith("SLO within-250-ms: ")


def test_what_has_no_place_here_is_told():
    found = read(
        slo(
            metadata={"colour": "red"},
            alertPolicies=[{"alertPolicyRef": "page"}],
            objectives=[{"target": 0.9, "timeSliceTarget": 0.5, "weight": 3}],
            owner="Kim",
            timeWindow=None,
            budgetingMethod=None,
        ),
        document("AlertPolicy", "page", {"conditions": []}),
        document("SLI", "unused", {"ratioMetric": ratio()}),
        document("DataSource", "main", {"type": "Prometheus",
                                        "connectionDetails": {"password": "hush"}}),
        document("Service", "recsys-home", {"description": "Home feed"}),
    )  # fmt: skip

    told = " ".join(found.notes)
    assert found.problems == ()
    for said in (
        "metadata.colour is not known", "its alert policies are not taken", "timeSliceTarget",
        "objectives.weight", "spec.owner is not known", "it has no timeWindow",
        "it has no budgetingMethod", "AlertPolicy page is not taken", "SLI unused",
        "connection details are not taken", "Service recsys-home",
    ):  # fmt: skip
        assert said in told
    assert "hush" not in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deep"),
        ("a: &x [1]\nb: *x", "Aliases"),
        ("a: 1\na: 2", "stands there twice"),
        ("? [a]\n: 1", "not YAML"),
        ("!!python/object:os.system x", "not YAML"),
        ("9" * 6_000, "not YAML"),
        ('a: "\\0"', "can't be stored"),
        (b"\xff", "not UTF-8"),
        ("", "no SLO in it"),
        ("x" * (256 * 1024 + 1), "larger than 256 KB"),
        ("apiVersion: openslo/v1alpha\nkind: SLO", "Baton reads openslo/v1"),
        ("apiVersion: openslo/v1\nkind: Pod", "Its kind is Pod"),
        ("apiVersion: openslo/v1\nkind: SLO", "no metadata.name"),
    ],
)
def test_what_is_no_openslo_says_why(text, why):
    found = openslo.read(text)

    assert found.levels == ()
    assert why in " ".join(found.problems)


# --- There and back


names = st.from_regex(r"[a-z][a-z0-9]{0,10}(-[a-z0-9]{1,5})?", fullmatch=True).filter(
    lambda name: name not in ("new", "import")
)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
                min_size=1, max_size=40).map(str.strip).filter(bool)  # fmt: skip
metrics = st.from_regex(r"[a-z_]{1,12}_total", fullmatch=True)
labels = st.dictionaries(st.sampled_from(["code", "route"]), names, max_size=2)


@st.composite
def queries(draw):
    said = ",".join(f'{name}="{value}"' for name, value in draw(labels).items())
    function = draw(st.sampled_from(["rate", "increase"]))
    series = draw(metrics) + (f"{{{said}}}" if said else "")
    return f"sum({function}({series}[{{{{.window}}}}]))"


@st.composite
def indicators(draw):
    if draw(st.booleans()):
        which = draw(st.sampled_from(["good", "bad"]))
        return {"ratioMetric": {"counter": True, which: metric(draw(queries())),
                                "total": metric(draw(queries()))}}  # fmt: skip
    named = {"metric": draw(metrics), "labels": draw(labels)}
    bad = draw(st.sampled_from([{"over": 0.25}, {"bad": {"code": ["5", "6"]}},
                                {"not_bad": {"code": "2"}}]))  # fmt: skip
    return {"ratioMetric": {"bad": metric(named | bad, "OpenMetrics"),
                            "total": metric(named, "OpenMetrics")}}  # fmt: skip


@st.composite
def slos(draw):
    metadata = {
        "displayName": draw(texts),
        "labels": draw(st.dictionaries(names, st.one_of(texts, st.lists(texts, min_size=1)))),
        "annotations": draw(st.dictionaries(names, texts))
        | {"baton/min-events": str(draw(st.integers(0, 10_000)))},
    }
    return slo(
        draw(names),
        metadata=metadata,
        description=draw(texts),
        indicator=of(draw(indicators())),
        timeWindow=[{"duration": f"{draw(st.integers(1, 90))}d", "isRolling": True}],
        objectives=[
            {"target": draw(st.floats(0.01, 0.9999)), "displayName": draw(texts)}
            for _ in range(draw(st.integers(1, 2)))
        ],
    )


@settings(deadline=None, max_examples=60)
@given(slos())
def test_what_was_imported_is_exported_with_the_same_meaning(document):
    first = read(document)
    assert first.problems == ()

    again = openslo.read(openslo_out.write("recsys-home", [stored(one) for one in first.levels]))

    assert again.problems == ()
    assert again.notes == ()
    assert [one.draft for one in again.levels] == [one.draft for one in first.levels]


def asked(spec, model):
    """The queries of a spec as they are sent."""
    by, value = spec.get("by", ""), spec.get("value") or model
    return [promql.filled(spec[name], window=300, by=by, model=value) for name in ("bad", "total")]


def test_a_query_for_all_models_is_exported_for_this_one_and_comes_back():
    spec = {
        "bad": 'sum by ($by) (increase(requests_total{outcome="error"}[$w]))',
        "total": "sum by ($by) (increase(requests_total[$w]))",
        "by": "model",
        "value": 'a "quoted" \\ name',
    }
    held = stored(
        openslo.Imported(openslo.SloDraft("A", 0.99, 28, spec, slug="a"), "prometheus", "")
    )

    text = openslo_out.write("recsys-home", [held])
    (back,) = openslo.read(text).levels

    assert "$by" not in text
    assert back.draft.spec["by"] == "model"
    assert back.draft.spec["value"] == spec["value"]
    assert asked(back.draft.spec, "recsys-home") == asked(spec, "recsys-home")
    assert counting.why_not_counts("prometheus", back.draft.spec) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"recorded": "sloth", "service": "shop", "slo": "requests"},
        {"recorded": "sloth", "service": "shop", "slo": "requests", "total": "sum(x[$w])"},
        {"recorded": "pyrra", "slo": "shop-requests"},
    ],
)
def test_a_recorded_ratio_comes_back_with_its_names(spec):
    held = stored(
        openslo.Imported(openslo.SloDraft("A", 0.99, 28, spec, slug="a"), "prometheus", "")
    )

    found = openslo.read(openslo_out.write("recsys-home", [held]))

    (back,) = found.levels
    assert found.notes == ()
    assert {name: said for name, said in back.draft.spec.items() if name != "openslo"} == spec


@settings(deadline=None, max_examples=100)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["spec", "metadata", "name", "good", "total", "bad", "ratioMetric",
                         "metricSource", "target", "query", "indicator", "raw", "labels"]),
        inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_no_document_makes_it_fail(part):
    for place in ("spec", "metadata"):
        document = slo()
        document[place] = part
        openslo.read(yaml.safe_dump(document))
    document = slo()
    document["spec"]["indicator"] = of(part)
    openslo.read(yaml.safe_dump(document))
    document = slo()
    for name in ("objectives", "timeWindow"):
        document["spec"][name] = [part]
    openslo.read(yaml.safe_dump(document))
