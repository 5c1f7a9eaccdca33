"""Addresses that answer with drift reports, and the service of Evidently."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app.health.rules import Observation
from app.health.sources.base import (
    Answer,
    CountWatch,
    Fetch,
    History,
    Report,
    UnreachableError,
    UnreadableError,
    Watch,
)
from app.health.sources.drift import evidently, is_envelope, parse, read, unwrapped
from app.health.sources.drift.observing import Unread, nothing, observation, why_not
from app.health.sources.reading import (
    KINDS,
    Given,
    bound,
    decode,
    fields,
    moment_or_none,
    objects,
    text,
)

MAX_PROJECTS = 50
NO_REPORT = "It has no report at the moment."
NAMELESS = "Reports without a model were left out: name it in the settings."
NO_EVENTS = "Reports hold no events to count. Take an OpenMetrics or a Prometheus source."


class Drift:
    name = "drift"
    title = "Drift reports"
    what = (
        "An address that answers with reports: a list of envelopes, or the file of a tool "
        "(Evidently, NannyML, Alibi Detect, Seldon, SageMaker, Vertex AI, Azure ML)."
    )
    pulls = True
    counts = False

    def why_not(self, spec: Mapping[str, Any]) -> str | None:
        return why_not(spec)

    def why_not_counts(self, spec: Mapping[str, Any]) -> str | None:
        return NO_EVENTS

    def read(
        self,
        watches: Sequence[Watch],
        counts: Sequence[CountWatch],
        fetch: Fetch,
        history: History,
        *,
        options: Mapping[str, Any],
        now: datetime,
    ) -> Answer:
        given = given_by(options, now)
        document = document_at(fetch, text(options.get("path"), 500))
        reports: list[Report] = []
        unread: list[Unread] = []
        for said, known in _each(document, given, unread) if document != [] else ():
            try:
                reports += read(said, given=known)
            except UnreadableError as error:
                unread.append(Unread(str(error.args[0]), known.model, known.kind))
        return answer(watches, reports, unread, now=now)


class Evidently:
    """Snapshots of Evidently's service. Its list of snapshots is not in the order of time."""

    name = "evidently"
    title = "Evidently"
    what = "The service of Evidently 0.7: the newest snapshot of each project."
    pulls = True
    counts = False

    def why_not(self, spec: Mapping[str, Any]) -> str | None:
        return why_not(spec)

    def why_not_counts(self, spec: Mapping[str, Any]) -> str | None:
        return NO_EVENTS

    def read(
        self,
        watches: Sequence[Watch],
        counts: Sequence[CountWatch],
        fetch: Fetch,
        history: History,
        *,
        options: Mapping[str, Any],
        now: datetime,
    ) -> Answer:
        given = given_by(options, now)
        models = fields(options.get("projects"))  # name or id of a project -> model
        listed = document_at(fetch, "/api/v2/projects")
        projects = list(objects(fields(listed).get("items", listed)))
        reports: list[Report] = []
        unread: list[Unread] = []
        for project in projects[:MAX_PROJECTS]:
            called, project_id = text(project.get("name")), text(project.get("id"))
            if models and called not in models and project_id not in models:
                continue
            model = text(models.get(called, models.get(project_id))) or given.model or called
            try:
                reports += _newest(fetch, project_id, replace(given, model=model))
            except UnreadableError as error:
                unread.append(Unread(f"{called}: {error.args[0]}", model, given.kind))
        return answer(watches, reports, unread, now=now)


def _newest(fetch: Fetch, project_id: str, given: Given) -> list[Report]:
    """What the newest snapshot of a project says, if it has one."""
    place = f"/api/projects/{quote(project_id, safe='')}"
    dated = [
        (at, text(snapshot.get("id")), snapshot)
        for snapshot in objects(document_at(fetch, f"{place}/snapshots"))
        if (at := moment_or_none(snapshot.get("timestamp"), given.zone)) is not None
    ]
    if not dated:
        raise UnreadableError("The project has no snapshot.")
    at, snapshot_id, snapshot = max(dated, key=lambda one: one[:2])
    about = fields(snapshot.get("metadata"))
    document = document_at(
        fetch, f"{place}/{quote(snapshot_id, safe='')}/download?report_format=json"
    )
    return parse(
        document,
        given=replace(
            given,
            format=evidently.name,
            window_end=at,
            version=text(about.get("model_version")) or given.version,
            reference_id=text(about.get("reference_id")) or given.reference_id,
        ),
    )


def given_by(options: Mapping[str, Any], now: datetime) -> Given:
    """What the options of a source say about all that comes from it."""
    try:
        return Given(received_at=now).with_said(options)
    except UnreadableError as error:
        raise UnreachableError(f"Its settings are wrong: {error.args[0]}") from None


def document_at(fetch: Fetch, path: str) -> Any:
    """What an address answers, decoded and bounded. Nothing but a good answer is read."""
    page = fetch(path)
    if page.status != 200:
        raise UnreachableError(f"It answered with status {page.status}.")
    if page.media_type == "text/html":
        raise UnreachableError("It answered with a page for people, as a proxy or a sign-in does.")
    try:
        document = decode(page.body, page.media_type)
        bound(document)
    except UnreadableError as error:
        raise UnreachableError(str(error.args[0])) from None
    return document


def _each(document: Any, given: Given, unread: list[Unread]) -> Sequence[tuple[Any, Given]]:
    """Each report with what its envelope says. An envelope that can't be read fails alone."""
    if not isinstance(document, list) or not any(is_envelope(one) for one in document):
        document = [document]
    found: list[tuple[Any, Given]] = []
    for one in document:
        try:
            found += unwrapped(one, given)
        except UnreadableError as error:
            said = fields(one)
            kind = KINDS.get(text(said.get("kind")), given.kind)
            unread.append(Unread(str(error.args[0]), text(said.get("model")) or given.model, kind))
    return found


def answer(
    watches: Sequence[Watch], reports: Sequence[Report], unread: Sequence[Unread], *, now: datetime
) -> Answer:
    """The reports, and what they say to the panels: of one that they say nothing to, why.

    A source of which nothing can be read is unreachable: what it says is not known.
    """
    if unread and not reports:
        raise UnreachableError(unread[0].why)
    if not all(report.model for report in reports):
        unread = [*unread, Unread(NAMELESS)]
        reports = [report for report in reports if report.model]
    by_lane: dict[tuple[str, Any], list[Report]] = {}
    for report in reports:
        by_lane.setdefault((report.model, report.kind), []).append(report)
    seen: dict[int, Observation] = {}
    for watch in watches:
        found = observation(by_lane.get((watch.model, watch.lane), ()), watch.spec)
        seen[watch.panel_id] = found or nothing(watch, reports, unread, now=now)
    remarks = [one.why for one in unread] if reports or unread else [NO_REPORT]
    return Answer(observations=seen, reports=tuple(reports), remarks=tuple(remarks[:20]))
