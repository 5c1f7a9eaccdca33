"""Addresses that answer with the results of data contracts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.health.sources.base import (
    Answer,
    CountWatch,
    DatasetReport,
    Fetch,
    History,
    UnreachableError,
    UnreadableError,
    Watch,
)
from app.health.sources.contracts import is_envelope, read, unwrapped
from app.health.sources.contracts.checks import MAX_DATASET
from app.health.sources.drift.source import NO_EVENTS, document_at, given_by
from app.health.sources.reading import fields, text


class Contracts:
    name = "contracts"
    title = "Data contracts"
    what = (
        "An address that answers with checks of data inputs: a list of them, or the file of a tool "
        "(dbt, Great Expectations, pandera, Soda, OpenLineage, ODCS)."
    )
    pulls = True
    counts = False

    def why_not(self, spec: Mapping[str, Any]) -> str | None:
        return "Panels of data inputs are made by linking an input to a model."

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
        if document == []:
            return Answer(remarks=("It has no check at the moment.",))
        checks = document if isinstance(document, list) else [document]
        if not any(is_envelope(one) for one in checks):
            checks = [document]
        found: list[DatasetReport] = []
        remarks: list[str] = []
        unread: dict[str, str] = {}
        for check in checks:
            try:
                for said, known in unwrapped(check, given):
                    found += read(said, given=known)
            except UnreadableError as error:
                remarks.append(str(error.args[0]))
                if name := text(fields(check).get("dataset"), MAX_DATASET) or given.dataset:
                    unread.setdefault(name, str(error.args[0]))
        if remarks and not found:
            raise UnreachableError(remarks[0])
        return Answer(datasets=tuple(found), unread=unread, remarks=tuple(remarks[:20]))
