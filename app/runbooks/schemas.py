"""What the API gives."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import url_for
from pydantic import AwareDatetime, BaseModel, Field

from app.runbooks.drafts import OpenDraft
from app.runbooks.lint.findings import Finding, Level
from app.runbooks.queries import RunbookLine, VersionLine
from app.runbooks.rules import Status, StepKind, Verdict
from app.runbooks.tables import RunbookVersion
from app.web.texts import Strict


class RunbookQuery(Strict):
    cursor: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=200)
    search: str = Field("", max_length=200, description="Words in title, failure mode or owner.")
    failure_mode: str = Field("", max_length=80)
    owner: str = Field("", max_length=120)


class BySlug(Strict):
    slug: str


class ByNumber(BySlug):
    number: int = Field(ge=1, lt=2**31)


class Runbook(BaseModel):
    slug: str
    title: str
    failure_mode: str | None
    owner: str | None
    published: int | None = Field(description="Number of the published version.")
    newest: int
    newest_status: Status
    steps: int
    changed_at: AwareDatetime
    changed_by: str
    url: str

    @classmethod
    def of(cls, line: RunbookLine) -> "Runbook":
        return cls(
            slug=line.slug,
            title=line.title,
            failure_mode=line.failure_mode,
            owner=line.owner,
            published=line.published,
            newest=line.newest,
            newest_status=line.newest_status,
            steps=line.steps,
            changed_at=line.changed_at,
            changed_by=line.changed_by,
            url=url_for("runbooks.detail", slug=line.slug, _external=True),
        )


class Runbooks(BaseModel):
    items: list[Runbook]
    next: str | None


class VersionSummary(BaseModel):
    number: int
    status: Status
    title: str
    message: str
    author: str
    created_at: AwareDatetime

    @classmethod
    def of(cls, line: VersionLine) -> "VersionSummary":
        return cls.model_validate(line, from_attributes=True)


class Step(BaseModel):
    position: int
    id: str
    section: str
    kind: StepKind
    title: str
    body: str = Field(description="Markdown, as written.")
    risk: str | None
    minutes: int | None
    attributes: dict[str, str]


class Version(BaseModel):
    slug: str
    number: int
    status: Status
    title: str
    sha256: str = Field(description="Of the text with line feeds and without trailing blanks.")
    author: str
    message: str
    origin: dict[str, Any]
    created_at: AwareDatetime
    front_matter: dict[str, Any]
    steps: list[Step]
    signals: list[dict[str, Any]]
    source: str
    url: str

    @classmethod
    def of(cls, version: RunbookVersion, status: Status, source: bytes) -> "Version":
        slug = version.runbook.slug
        return cls(
            slug=slug,
            number=version.number,
            status=status,
            title=version.title,
            sha256=version.sha256,
            author=version.author,
            message=version.message,
            origin=version.origin,
            created_at=version.created_at,
            front_matter=version.front_matter,
            steps=[
                Step(
                    position=step.position,
                    id=step.step_id,
                    section=step.section,
                    kind=step.kind,
                    title=step.title,
                    body=step.body,
                    risk=step.risk,
                    minutes=step.minutes,
                    attributes=step.attributes,
                )
                for step in version.steps
            ],
            signals=[signal.condition for signal in version.signals],
            source=source.decode("utf-8-sig", "replace"),
            url=url_for("runbooks.version", slug=slug, number=version.number, _external=True),
        )


class WholeRunbook(BaseModel):
    """A runbook with its versions, and in full the one that people are sent to."""

    slug: str
    title: str
    failure_mode: str | None
    owner: str | None
    published: int | None
    current: Version = Field(description="The published version; while none is, the newest.")
    versions: list[VersionSummary]

    @classmethod
    def of(
        cls, version: RunbookVersion, lines: Sequence[VersionLine], source: bytes
    ) -> "WholeRunbook":
        runbook = version.runbook
        status = next(line.status for line in lines if line.number == version.number)
        return cls(
            slug=runbook.slug,
            title=runbook.title,
            failure_mode=runbook.failure_mode,
            owner=runbook.owner,
            published=version.number if runbook.published_id == version.id else None,
            current=Version.of(version, status, source),
            versions=[VersionSummary.of(line) for line in lines],
        )


# --- Writing


class NewRunbook(Strict):
    slug: str = Field(min_length=1, max_length=120, description="Its file name, for good.")
    title: str = Field(min_length=1, max_length=120)
    failure_mode: str = Field("", max_length=80)
    owner: str = Field("", max_length=120, description="A team's slug.")
    models: list[str] = Field(["*"], min_length=1, max_length=50, description="Names or patterns.")


class DraftBody(Strict):
    source: str
    message: str = Field("", description="What changed, and why.")
    version: int = Field(ge=0, lt=2**31, description="Of the draft as you saw it; 0: none yet.")
    base: int | None = Field(
        None, ge=1, lt=2**31, description="Number of the version it is written from."
    )


class SeenDraft(Strict):
    version: int = Field(ge=1, lt=2**31, description="Of the draft as you saw it.")


class PublishDraft(SeenDraft):
    emergency_reason: str | None = Field(
        None,
        max_length=300,
        description="Publishes at once what a second person would have to approve first. It is "
        "flagged, and stays a task until somebody has reviewed it.",
    )


class PublishBody(Strict):
    emergency_reason: str | None = Field(None, max_length=300)


class ReviewBody(Strict):
    verdict: Verdict
    comment: str = ""


class ReasonBody(Strict):
    reason: str = Field("", max_length=300)


class CheckFinding(BaseModel):
    rule: str
    level: Level
    line: int
    sentence: str


class Draft(BaseModel):
    slug: str
    version: int = Field(description="Send it back with the next save; 0: nothing is saved yet.")
    source: str
    message: str
    base: int = Field(description="Number of the version that it is written from.")
    number: int = Field(description="That it gets when it becomes a version.")
    behind: bool = Field(description="Another version was published since `base` was written.")
    saved_at: AwareDatetime | None
    saved_by: str | None
    findings: list[CheckFinding]
    url: str

    @classmethod
    def of(cls, opened: OpenDraft, findings: Iterable[Finding]) -> "Draft":
        slug = opened.runbook.slug
        return cls(
            slug=slug,
            version=opened.version,
            source=opened.source,
            message=opened.message,
            base=opened.base.number,
            number=opened.number,
            behind=opened.behind,
            saved_at=opened.saved_at,
            saved_by=opened.saved_by,
            findings=[CheckFinding.model_validate(one, from_attributes=True) for one in findings],
            url=url_for("runbooks.edit", slug=slug, _external=True),
        )


class Review(BaseModel):
    version: int
    verdict: Verdict
    comment: str
    by: str
    at: AwareDatetime
    status: Status = Field(description="Of the version, now.")


class Retired(BaseModel):
    slug: str
    retired_at: AwareDatetime | None
    published: int | None
