"""Importing a file of sources and panels: first a plan that writes nothing, then all or nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health import service
from app.health.panel_drafts import draft_of, why_no_panel, why_not_pushed
from app.health.panel_files import (
    MAX_PANELS,
    MAX_PROBLEMS,
    ModelInFile,
    PanelFile,
    PanelInFile,
    Problem,
    SourceInFile,
    written,
)
from app.health.presets import PRESETS, PanelDraft, panels_of
from app.health.rules import FAILURE_MODES, Rule
from app.health.service import MOST_PANELS, SourceDraft, source_facts
from app.health.tables import HealthSource, Panel
from app.people.rules import Actor
from app.registry.tables import MlModel

Does = Literal["create", "change", "keep"]
OPENED = "opened again"


@dataclass(frozen=True, slots=True)
class SourceStep:
    """What becomes of one source."""

    slug: str
    draft: SourceDraft
    before: HealthSource | None
    changes: tuple[str, ...]

    @property
    def does(self) -> Does:
        return "create" if self.before is None else "change" if self.changes else "keep"

    @property
    def name(self) -> str:
        return self.slug


@dataclass(frozen=True, slots=True)
class PanelStep:
    """What becomes of one panel."""

    model: str
    slug: str
    draft: PanelDraft
    source: str | None
    preset: str
    before: Panel | None
    changes: tuple[str, ...]

    @property
    def does(self) -> Does:
        return "create" if self.before is None else "change" if self.changes else "keep"

    @property
    def name(self) -> str:
        return f"{self.model}: {self.slug}"


@dataclass(frozen=True, slots=True)
class Plan:
    sources: tuple[SourceStep, ...] = ()
    panels: tuple[PanelStep, ...] = ()
    problems: tuple[Problem, ...] = ()

    def count(self, does: Does) -> int:
        return sum(step.does == does for step in self.steps)

    @property
    def steps(self) -> list[SourceStep | PanelStep]:
        return [*self.sources, *self.panels]

    @property
    def fingerprint(self) -> str:
        """Two plans that would do the same have the same."""
        said = [(step.name, step.does, step.changes, repr(step.draft)) for step in self.steps]
        return hashlib.sha256(repr(said).encode()).hexdigest()


def plan_import(file: PanelFile, problems: list[Problem]) -> Plan:
    """What importing the file would do, and all that stands against it. Writes nothing."""
    if problems:
        return Plan(problems=tuple(problems))
    return _Planner(file).plan()


def import_file(file: PanelFile, *, seen: str | None = None, by: Actor, at: datetime) -> Plan:
    """Import all of the file or nothing, if its plan is still the one that was `seen`."""
    with unit_of_work() as session:
        plan = plan_import(file, [])
        if plan.problems:
            raise RefusedError(" ".join(map(str, plan.problems[:5])))
        if seen is not None and seen != plan.fingerprint:
            raise ConflictError("Somebody changed some of it since you looked. Look again.")
        ids = {step.slug: _write_source(step, by, at) for step in plan.sources}
        named = {step.source for step in plan.panels if step.source} - set(ids)
        ids |= {
            row.slug: row.id
            for row in session.scalars(select(HealthSource).where(HealthSource.slug.in_(named)))
        }
        for step in plan.panels:
            _write_panel(step, ids, by, at)
    return plan


def _write_source(step: SourceStep, by: Actor, at: datetime) -> int:
    if step.before is None:
        made = service.create_source(step.draft, slug=step.slug, by=by, at=at)
        if made.slug != step.slug:
            raise ConflictError(f"Somebody made a source {step.slug} at this moment. Try again.")
        return made.id
    if step.before.closed_at is not None:
        service.reopen_source(step.before.id, by=by, at=at)
    if set(step.changes) - {OPENED}:
        service.edit_source(step.before.id, step.draft, seen_version=None, by=by, at=at)
    return step.before.id


def _write_panel(step: PanelStep, ids: Mapping[str, int], by: Actor, at: datetime) -> None:
    if step.before is None:
        (made,) = service.create_panels(
            step.model,
            [step.draft],
            source_id=ids[step.source] if step.source else None,
            preset=step.preset,
            by=by,
            at=at,
        )
        if made.slug != step.slug:
            raise ConflictError(f"{step.slug} can't be the slug of a panel of {step.model}.")
        return
    if step.before.closed_at is not None:
        service.reopen_panel(step.before.id, by=by, at=at)
    if set(step.changes) - {OPENED}:
        service.edit_panel(step.before.id, step.draft, seen_version=None, by=by, at=at)


class _Planner:
    """Holds the file against all that is kept about what it names, read at once."""

    def __init__(self, file: PanelFile) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.models = {
            model.slug: model
            for model in db.session.scalars(
                select(MlModel).where(MlModel.slug.in_(list(file.models)))
            )
        }
        self.panels: dict[tuple[int, str], Panel] = {}
        ids = [model.id for model in self.models.values()]
        for panel in db.session.scalars(
            select(Panel).where(Panel.model_id.in_(ids)).options(joinedload(Panel.source))
        ):
            self.panels[panel.model_id, panel.slug] = panel
        self.sources = {row.slug: row for row in db.session.scalars(select(HealthSource))}

    def plan(self) -> Plan:
        sources = [self._source(slug, said) for slug, said in self.file.sources.items()]
        panels: list[PanelStep] = []
        for slug, said in self.file.models.items():
            panels += self._model(slug, said)
        if len(panels) > MAX_PANELS:
            self._say(f"A file has at most {MAX_PANELS:,} panels; this one has {len(panels):,}.")
        if len(self.problems) > MAX_PROBLEMS:
            self.problems[MAX_PROBLEMS:] = [Problem("And more. Put these right first.")]
        return Plan(tuple(sources), tuple(panels), tuple(self.problems))

    def _say(self, sentence: str, *path: str | int) -> None:
        self.problems.append(Problem(sentence, self.file.line(*path)))

    def _source(self, slug: str, said: SourceInFile) -> SourceStep:
        before = self.sources.get(slug)
        # No file holds a secret: what is kept stays, and a new source begins without.
        draft = SourceDraft(
            said.name, said.kind, said.url, said.every, said.options, None if before else {}
        )
        changes = _source_changes(before, draft)
        if before is None or changes:
            why = service.why_not_edit(before, draft) if before else None
            if why is None:
                try:
                    service.check_source(draft)
                except RefusedError as error:
                    why = error.sentence
            if why:
                self._say(f"Source {slug}: {why}", "sources", slug)
        return SourceStep(slug, draft, before, changes)

    def _model(self, slug: str, said: ModelInFile) -> list[PanelStep]:
        model = self.models.get(slug)
        if model is None or model.retired_at is not None:
            why = "is retired" if model else "is not registered"
            self._say(f"{slug} {why}. Panels belong to a model in production.", "models", slug)
            return []
        wanted = self._wanted(slug, said)
        steps = []
        for panel, (entry, path) in wanted.items():
            step = self._panel(model, panel, entry, path)
            if step is not None:
                steps.append(step)
        there = {
            one.slug for (owner, _), one in self.panels.items()
            if owner == model.id and one.closed_at is None
        }  # fmt: skip
        if len(there | set(wanted)) > MOST_PANELS:
            self._say(f"{slug}: a model has {MOST_PANELS} panels at most.", "models", slug)
        return steps

    def _wanted(
        self, model: str, said: ModelInFile
    ) -> dict[str, tuple[PanelInFile, tuple[str | int, ...]]]:
        """Each panel that the file wants of a model, and where it stands."""
        wanted: dict[str, tuple[PanelInFile, tuple[str | int, ...]]] = {}
        for number, one in enumerate(said.presets):
            path: tuple[str | int, ...] = ("models", model, "presets", number)
            preset = PRESETS.get(one.use)
            if preset is None:
                self._say(
                    f"{model}: there is no preset {one.use}. There are {', '.join(PRESETS)}.",
                    *path, "use",
                )  # fmt: skip
                continue
            keys = [template.key for template in preset.panels]
            for strange in set(one.without) - set(keys):
                self._say(f"{model}: {one.use} has no panel {strange}.", *path, "without")
            for key in keys:
                if key in one.without:
                    continue
                if key in wanted:
                    self._say(f"{model}: two presets make a panel {key}.", *path)
                wanted[key] = (
                    PanelInFile(preset=one.use, source=one.source, name=one.name), path
                )  # fmt: skip
        for slug, entry in said.panels.items():
            path = ("models", model, "panels", slug)
            if slug in wanted:
                whole = wanted[slug][0]
                values = {name: getattr(entry, name) for name in entry.model_fields_set}
                entry = whole.model_copy(update=values)
            wanted[slug] = entry, path
        return wanted

    def _panel(
        self, model: MlModel, slug: str, entry: PanelInFile, path: tuple[str | int, ...]
    ) -> PanelStep | None:
        called = f"{model.slug}: {slug}"
        before = self.panels.get((model.id, slug))
        source, kind = self._source_of(entry, before, called, path)
        if entry.source is not None and kind is None:
            return None
        base = self._base(model, slug, entry, kind, before, called, path)
        if base is None:
            return None
        draft = _onto(base, entry)
        why = (
            (self._why_not_over(before, source) if before is not None else None)
            or why_no_panel(draft, kind)
            or (why_not_pushed(draft.lane, draft.spec) if kind is None else None)
        )
        if why:
            self._say(f"{called}: {why}", *path)
        preset = entry.preset or entry.made_from or ""
        return PanelStep(
            model.slug, slug, draft, source, preset, before, _panel_changes(before, draft)
        )

    def _source_of(
        self, entry: PanelInFile, before: Panel | None, called: str, path: tuple[str | int, ...]
    ) -> tuple[str | None, str | None]:
        """The slug and the kind of the source of a panel."""
        slug = entry.source
        if slug is None and before is not None and before.source is not None:
            slug = before.source.slug
        if slug is None:
            return None, None
        if slug in self.file.sources:
            return slug, self.file.sources[slug].kind
        kept = self.sources.get(slug)
        if kept is None or kept.closed_at is not None:
            why = "is closed" if kept else "is neither here nor in the file"
            self._say(f"{called}: the source {slug} {why}.", *path, "source")
            return slug, None
        return slug, kept.kind

    def _base(
        self,
        model: MlModel,
        slug: str,
        entry: PanelInFile,
        kind: str | None,
        before: Panel | None,
        called: str,
        path: tuple[str | int, ...],
    ) -> PanelDraft | None:
        """What the panel is before the file changes some of it."""
        if entry.preset is not None:
            if entry.preset not in PRESETS:
                self._say(f"{called}: there is no preset {entry.preset}.", *path, "preset")
                return None
            offered = panels_of(entry.preset, model.slug, kind or "", name=entry.name)
            found = next((one for one in offered if one.key == slug), None)
            if found is None:
                keys = ", ".join(one.key for one in offered)
                self._say(f"{called}: {entry.preset} has no such panel. It has {keys}.", *path)
            return found
        if before is not None:
            return draft_of(before)
        missing = [
            name for name in ("title", "lane", "spec", "rule") if getattr(entry, name) is None
        ]
        if missing:
            self._say(f"{called}: a new panel without a preset needs {_listed(missing)}.", *path)
            return None
        assert entry.lane is not None
        mode = FAILURE_MODES.get(entry.lane, "")
        return PanelDraft(slug, entry.lane, "", "", {}, Rule(), 300, mode, 3)

    def _why_not_over(self, before: Panel, source: str | None) -> str | None:
        if before.dataset_id is not None:
            return "It watches a data input, which says what it is."
        now = before.source.slug if before.source else None
        if now != source:
            return (
                f"It hangs on {now or 'reports that are pushed'}, and the source of a panel "
                "can't change. Give it another slug."
            )
        return None


def _onto(base: PanelDraft, entry: PanelInFile) -> PanelDraft:
    names = ("title", "lane", "unit", "window", "spec", "failure_mode", "severity")
    said: dict[str, Any] = {
        name: getattr(entry, name) for name in names if getattr(entry, name) is not None
    }
    if entry.rule is not None:
        said["rule"] = entry.rule.onto(base.rule)
    if entry.spec is not None:
        said["not_measurable"] = ""
    return replace(base, **said)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _source_changes(before: HealthSource | None, draft: SourceDraft) -> tuple[str, ...]:
    if before is None:
        return ()
    now = {"name": draft.name, "kind": draft.kind, "url": draft.url, "every": draft.every,
           "options": dict(draft.options)}  # fmt: skip
    was = {name: source_facts(before)[name] for name in now}
    return (*_opened(before.closed_at), *_changes(was, now))


def _panel_changes(before: Panel | None, draft: PanelDraft) -> tuple[str, ...]:
    if before is None:
        return ()
    was = _facts(draft_of(before))
    return (*_opened(before.closed_at), *_changes(was, _facts(draft)))


def _opened(closed_at: datetime | None) -> tuple[str, ...]:
    return (OPENED,) if closed_at else ()


def _facts(draft: PanelDraft) -> dict[str, Any]:
    rule = draft.rule
    names = ("above", "below", "clear", "k", "n", "min_rows")
    return {
        **{name: getattr(draft, name) for name in ("title", "unit", "window", "severity")},
        "lane": draft.lane.value,
        "spec": dict(draft.spec),
        **{name: getattr(rule, name) for name in names},
        "stale_after": int(rule.stale_after / timedelta(seconds=1)),
        "failure_mode": draft.failure_mode,
    }


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name.replace('_', ' ')}: {_shown(was[name])} → {_shown(value)}"
        for name, value in now.items()
        if was[name] != value
    ]


def _shown(value: Any) -> str:
    said = "none" if value in (None, "", {}) else str(value)
    return said if len(said) <= 80 else f"{said[:79]}…"


# --- Export -----------------------------------------------------------------------------------


def export(model: str | None = None) -> str:
    """What is kept, as a file: of one model, or of all. Panels of data inputs are not in it."""
    if model is not None and not db.session.scalar(select(MlModel.id).where(MlModel.slug == model)):
        raise NotFoundError(f"There is no model {model}.")
    found = (
        select(MlModel.slug, HealthSource.slug, Panel)
        .join(MlModel, MlModel.id == Panel.model_id)
        .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
        .where(
            Panel.closed_at.is_(None), Panel.dataset_id.is_(None), MlModel.retired_at.is_(None),
            HealthSource.closed_at.is_(None),
        )
        .order_by(MlModel.slug, Panel.slug)
    )  # fmt: skip
    if model is not None:
        found = found.where(MlModel.slug == model)
    panels = [(row[0], row[1], row[2]) for row in db.session.execute(found)]
    sources = select(HealthSource).where(HealthSource.closed_at.is_(None))
    if model is not None:
        sources = sources.where(HealthSource.slug.in_({source for _, source, _ in panels}))
    rows = db.session.scalars(sources.order_by(HealthSource.slug)).all()
    return written(rows, panels)
