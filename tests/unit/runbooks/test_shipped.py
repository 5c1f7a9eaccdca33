"""The runbooks that we ship are complete: somebody can follow them at three in the morning."""

import re
from pathlib import Path

import pytest

from app.runbooks.format import read
from app.runbooks.rendering import VARIABLE, render_document
from app.runbooks.rules import FAILURE_MODES, StepKind, kebab

FOLDER = Path(__file__).parents[3] / "runbooks"
FILES = sorted(FOLDER.glob("*.md"))
SLUGS = {path.stem for path in FILES}
SECTIONS = ("when", "impact", "stop", "steps", "roll_back", "verify", "afterwards")
DANGEROUS = re.compile(
    r"rollout undo|kubectl .*\bdelete\b|--force|\bdrain\b|replicas=0|\"serve_mode\":\""
)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def document(path):
    return read(path.read_bytes(), path.name)


@pytest.fixture
def parts(document):
    return render_document(document)


def test_there_is_one_for_each_way_that_a_model_fails():
    covered = {read(path.read_bytes()).facts.failure_mode for path in FILES}

    assert covered == set(FAILURE_MODES)
    assert len(covered) == len(FILES)


def test_the_file_says_who_it_is_for_and_who_is_next(path, document):
    facts = document.facts

    assert document.remarks == ()
    assert facts.id == path.stem
    assert facts.severity
    assert facts.owner
    assert facts.escalate_to
    assert facts.escalate_after
    assert facts.est_minutes
    assert facts.review_every
    assert any(signal.alertname for signal in facts.signals)
    assert set(facts.related) <= SLUGS


def test_every_section_is_there_in_order(document, parts):
    roles = [section.role for section in document.sections]

    assert [role for role in dict.fromkeys(roles) if role in SECTIONS] == list(SECTIONS)
    assert [fact["role"] for fact in parts["facts"]] == ["when", "not_when", "impact", "stop"]


def test_it_is_short_enough_to_read_at_night(path, document):
    words = path.read_text().split("\n---\n", 1)[1].split()
    per_section = [
        sum(step.section == one.title for step in document.steps) for one in document.sections
    ]

    assert len(words) <= 1250
    assert max(per_section) <= 9


def test_it_looks_before_it_acts(document):
    assert [step.kind for step in document.steps[:2]] == [StepKind.CHECK, StepKind.CHECK]


def test_every_step_says_what_success_looks_like(document, parts):
    for step in document.steps:
        blocks = [block["kind"] for block in parts["steps"][step.id]["blocks"]]
        if step.kind is StepKind.DECISION:
            assert "options" in blocks, step.id
        elif step.kind is not StepKind.VERIFY:
            assert blocks.count("expect") == 1, step.id
        assert blocks.count("command") <= 1, step.id


def test_what_changes_something_can_be_taken_back(document, parts):
    for step in document.steps:
        commands = [
            b["copied"] for b in parts["steps"][step.id]["blocks"] if b["kind"] == "command"
        ]
        if any(DANGEROUS.search(command) for command in commands):
            assert step.risk == "high", step.id
        if step.risk == "high":
            assert parts["steps"][step.id]["undo"], step.id
            assert step.attributes.get("confirm"), step.id
        if step.kind is StepKind.ACTION:
            assert step.risk, step.id
        for name in ("undo", "on_fail"):
            assert (name in step.attributes) == bool(parts["steps"][step.id][name]), step.id


def test_every_branch_leads_somewhere(parts):
    for step in parts["steps"].values():
        for block in step["blocks"]:
            for option in block.get("options", ()):
                leads = option["step"] or option["href"].removeprefix("/runbooks/") in SLUGS
                assert leads, option["label"]


def test_every_variable_is_declared_and_used(path, document):
    used = set(VARIABLE.findall(path.read_text()))

    assert used == {variable.name for variable in document.facts.variables}
    assert all(variable.pattern for variable in document.facts.variables)


def test_every_link_leads_to_a_runbook_or_a_heading_of_ours(path, document):
    text = path.read_text()
    anchors = {step.id for step in document.steps} | {kebab(one.title) for one in document.sections}

    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.removesuffix(".md") in SLUGS or target.removeprefix("#") in anchors, target
    assert "http://" not in text
    assert not re.search(r"TODO|TBD|<[a-z]+>", text)


def test_the_example_in_the_documentation_is_read_without_a_remark():
    text = (FOLDER.parent / "docs" / "runbook-format.md").read_text()
    example = re.search(r"^````markdown\n(.*?)^````$", text, re.DOTALL | re.MULTILINE)

    document = read(example[1].encode())

    assert document.remarks == ()
    assert [step.id for step in document.steps] == [
        "saturation",
        "where",
        "roll-back-model",
        "return",
        "verify-p99",
    ]
