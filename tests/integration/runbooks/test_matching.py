"""What alerts are told about published runbooks."""

from datetime import timedelta

from app.runbooks import queries as runbooks
from app.runbooks.rules import Matching


def test_only_published_versions_are_offered_with_all_that_routing_needs(bring_in, latency):
    latency(
        head="escalate_to: oncall\nescalate_after: 20m\napplies_to: {models: ['recsys-*'], tags: [feed]}\n"
    )
    bring_in()

    (one,) = runbooks.signals_index()

    assert (one.slug, one.number, one.failure_mode, one.severity) == (
        "latency",
        1,
        "latency_regression",
        2,
    )
    assert one.alertnames == {"recsyshomep99high"}
    assert (one.models, one.tags, one.owner) == (("recsys-*",), ("feed",), "serving")
    assert (one.escalate_to, one.escalate_after) == ("oncall", timedelta(minutes=20))
    assert one.version_id == runbooks.published("latency").id


def test_signals_of_an_older_version_no_longer_match(bring_in, write):
    write("a.md", "---\nid: a\nsignals: [Old]\n---\n# A\n")
    bring_in()
    write("a.md", "---\nid: a\nsignals: [New]\n---\n# A\n")
    bring_in()
    matching = Matching(tuple(runbooks.signals_index()))

    assert matching.best("Old", {}, None) is None
    assert matching.best("new", {}, None).runbook.number == 2


def test_the_stamp_changes_with_each_publication(bring_in, latency):
    empty = runbooks.published_stamp()
    latency("one")
    bring_in()
    first = runbooks.published_stamp()
    bring_in()
    assert empty != first == runbooks.published_stamp()
    latency("two")
    bring_in()

    assert runbooks.published_stamp() != first


def test_the_index_costs_two_queries(bring_in, write, queries):
    for number in range(30):
        write(f"r{number}.md", f"---\nsignals: [A{number}, B{number}]\n---\n# R\n")
    bring_in()

    assert queries(runbooks.signals_index) == 2
