"""From a draft to a published version and on: draft, in review, published, retired.

A version is never changed; what is said of it is added: where it stands (`VersionEvent`) and what
a second person thinks of it (`Review`). The author of a change to a severe or risky runbook can't
publish it alone, except in an emergency, which stays a task until somebody else has read it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased, contains_eager

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.people import audit
from app.people.rules import Actor
from app.runbooks import drafts, search, service
from app.runbooks.checking import Checked, check, refusal_by_findings
from app.runbooks.drafts import EditedMeanwhileError, OpenDraft
from app.runbooks.format import canonical_sha256
from app.runbooks.identity import with_ids
from app.runbooks.rules import (
    Status,
    Verdict,
    refusal_to_approve,
    refusal_to_move,
    refusal_to_publish,
)
from app.runbooks.service import Text
from app.runbooks.tables import Draft, Review, Runbook, RunbookVersion, VersionEvent

MAX_COMMENT = 4000
BROWSER = {"kind": "browser"}


@dataclass(frozen=True, slots=True)
class Hurdle:
    """Why something can't be published by this person now."""

    sentence: str
    emergency_helps: bool = False  # it may be published at once, and be reviewed afterwards
    blocks_review: bool = False  # nobody can review it either


# --- A draft becomes a version


def ask_for_review(slug: str, seen_version: int, *, by: Actor, at: datetime) -> RunbookVersion:
    """Make a version of the draft and put it before a second person."""
    prepared = _prepare(slug, seen_version)
    with unit_of_work() as session:
        version = _hand_in(session, prepared, seen_version, by=by, at=at)
        service.move(session, [(prepared.text, version, Status.IN_REVIEW)], by=by, at=at)
        search.index(session, version.runbook_id)
    return version


def publish_draft(
    slug: str,
    seen_version: int,
    *,
    emergency_reason: str | None = None,
    by: Actor,
    at: datetime,
) -> RunbookVersion:
    """Make a version of the draft and publish it, if this person may do so alone."""
    prepared = _prepare(slug, seen_version)
    checked = check(slug, prepared.text.source, prepared.opened.published, today=at.date())
    hurdle = hurdle_of_draft(prepared.opened, checked, by)
    emergency = _refuse_or_flag(hurdle, emergency_reason)
    with unit_of_work() as session:
        version = _hand_in(session, prepared, seen_version, by=by, at=at)
        _publish(session, prepared.text, version, emergency_reason, emergency, by=by, at=at)
    return version


def hurdle_of_draft(opened: OpenDraft, checked: Checked, by: Actor) -> Hurdle | None:
    """Why this person can't publish this draft now; None if they can."""
    if opened.behind and opened.published is not None:
        return Hurdle(_behind(opened, opened.published), blocks_review=True)
    if opened.published and canonical_sha256(opened.source.encode()) == opened.published.sha256:
        return Hurdle("Publish opens when something has changed.", blocks_review=True)
    writers = opened.writers if opened.is_saved else _only(person(by))
    return _hurdle(checked, writers=writers, by=by, approved_by=())


def _only(person_id: int | None) -> tuple[int, ...]:
    return () if person_id is None else (person_id,)


def _behind(opened: OpenDraft, published: RunbookVersion) -> str:
    return (
        f"v{published.number} was published since this was begun from v{opened.base.number}. "
        "Bring its changes in first."
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A draft read and rendered, before the lock is taken."""

    opened: OpenDraft
    text: Text


def _prepare(slug: str, seen_version: int) -> _Prepared:
    opened = drafts.open_draft(slug)
    if not opened.is_saved or opened.version != seen_version:
        raise _gone_on(opened)
    if opened.behind and opened.published is not None:
        # As a version it would be newer than what it does not know of.
        raise RefusedError(_behind(opened, opened.published))
    used, before = opened.used_ids, service.read_text(slug, opened.base.source, BROWSER).document
    source = with_ids(opened.source.encode(), before, used)
    if opened.published and canonical_sha256(source) == opened.published.sha256:
        raise RefusedError(f"This is what v{opened.published.number} says already.")
    origin = {**BROWSER, "writers": list(opened.writers)}
    return _Prepared(opened, service.read_text(slug, source, origin, opened.message))


def _gone_on(opened: OpenDraft) -> ConflictError:
    if not opened.is_saved:
        return ConflictError("There is no draft. Somebody has published or discarded it.")
    sentence = f"{opened.saved_by} saved this draft while you were reading it. Look at it first."
    return EditedMeanwhileError(sentence, mine=opened.source, theirs=opened)


def _hand_in(
    session: Session, prepared: _Prepared, seen_version: int, *, by: Actor, at: datetime
) -> RunbookVersion:
    """Write the version. What waited for a reviewer before it waits no longer."""
    service.lock(session)
    opened = prepared.opened
    draft = session.get(Draft, opened.runbook.id, populate_existing=True)
    if draft is None or draft.version != seen_version:
        raise _gone_on(drafts.open_draft(prepared.text.slug))
    base = session.get(RunbookVersion, opened.base.id)
    # The version is of whoever wrote it, also when somebody else hands it in.
    writer = _writer(draft, by)
    version = service.write_version(session, prepared.text, base, by=writer, at=at)
    for earlier in _waiting(session, version):
        why = f"v{version.number} took its place."
        text = service.read_text(prepared.text.slug, earlier.source, earlier.origin)
        service.move(session, [(text, earlier, Status.RETIRED)], reason=why, by=by, at=at)
    session.delete(draft)
    session.flush()
    return version


def _writer(draft: Draft, by: Actor) -> Actor:
    if draft.saved_by == by.name and draft.saved_by_id in (None, by.id):
        return by
    kind = "person" if draft.saved_by_id is not None else "token"
    return Actor(kind, draft.saved_by_id, draft.saved_by)


def _waiting(session: Session, newer: RunbookVersion) -> Iterable[RunbookVersion]:
    """Versions of the runbook that wait for their author or a reviewer."""
    return session.scalars(
        select(RunbookVersion)
        .join(VersionEvent, VersionEvent.version_id == RunbookVersion.id)
        .where(
            RunbookVersion.runbook_id == newer.runbook_id,
            RunbookVersion.id != newer.id,
            VersionEvent.status.in_((Status.DRAFT, Status.IN_REVIEW)),
            is_last_event(),
        )
        .order_by(RunbookVersion.id)
    ).all()


# --- What a second person says


def review(version_id: int, verdict: Verdict, comment: str, *, by: Actor, at: datetime) -> Review:
    """Approve a version, or ask for changes first: then it goes back to its author."""
    comment = comment.strip()
    if verdict is Verdict.CHANGES and not comment:
        raise RefusedError("Say what should change.")
    if len(comment) > MAX_COMMENT:
        raise RefusedError(f"A comment has at most {MAX_COMMENT} characters.")
    with unit_of_work() as session:
        version = _locked(session, version_id)
        event = last_event(session, version_id)
        if event.status is not Status.IN_REVIEW and not is_unreviewed_emergency(session, version):
            raise ConflictError(
                refusal_to_move(version.number, event.status, Status.IN_REVIEW)
                or f"v{version.number} is a draft. Its author has not asked for a review."
            )
        # Its author may take a version back; everything else takes somebody else.
        if verdict is Verdict.APPROVED or event.status is not Status.IN_REVIEW:
            _refuse(refusal_to_approve(writers=drafts.writers_of(version), actor_id=person(by)))
        row = Review(
            version_id=version.id,
            verdict=verdict,
            comment=comment,
            at=at,
            by=by.name,
            by_id=person(by),
        )
        session.add(row)
        if verdict is Verdict.CHANGES and event.status is Status.IN_REVIEW:
            _move(session, version, Status.DRAFT, reason=comment, by=by, at=at)
        approved = verdict is Verdict.APPROVED
        action = "runbook.approve" if approved else "runbook.ask_for_changes"
        _audit(action, version, {"comment": comment}, by=by, at=at)
    return row


# --- Publishing, and the way back


def publish(
    version_id: int, *, emergency_reason: str | None = None, by: Actor, at: datetime
) -> RunbookVersion:
    """Publish a version that waits, if this person may, or at once because of an emergency."""
    found = _version(db.session(), version_id)
    slug, published = found.runbook.slug, found.runbook.published
    text = service.read_text(slug, found.source, found.origin, found.message)
    checked = check(slug, found.source, published, today=at.date())
    with unit_of_work() as session:
        version = _locked(session, version_id)
        event = last_event(session, version_id)
        if event.status is Status.RETIRED:
            raise ConflictError(f"v{version.number} is retired. Revert to it instead.")
        _refuse(refusal_to_move(version.number, event.status, Status.PUBLISHED))
        _check_published_is(version.runbook, published)
        emergency = _refuse_or_flag(hurdle_of(session, version, checked, by), emergency_reason)
        _publish(session, text, version, emergency_reason, emergency, by=by, at=at)
    return version


def hurdle_of(
    session: Session, version: RunbookVersion, checked: Checked, by: Actor
) -> Hurdle | None:
    """Why this person can't publish this version now; None if they can."""
    published = version.runbook.published
    if published is not None and _was_published_since(session, published, version):
        return Hurdle(
            f"v{published.number} was published after v{version.number} was written. "
            "Edit it to bring those changes in."
        )
    approved = approved_by(session, version.id)
    return _hurdle(checked, writers=drafts.writers_of(version), by=by, approved_by=approved)


def drop(version_id: int, reason: str, *, by: Actor, at: datetime) -> RunbookVersion:
    """Give up a version that was never published. It can still be read."""
    with unit_of_work() as session:
        version = _locked(session, version_id)
        event = last_event(session, version_id)
        if event.status is Status.PUBLISHED:
            raise RefusedError(f"v{version.number} is published. Retire the runbook instead.")
        _refuse(refusal_to_move(version.number, event.status, Status.RETIRED))
        _move(session, version, Status.RETIRED, reason=reason.strip() or "Dropped", by=by, at=at)
    return version


def revert_to(
    version_id: int, *, emergency_reason: str | None = None, by: Actor, at: datetime
) -> RunbookVersion:
    """Make an older text the newest version: published if this person may, else in review.

    Findings don't stand in its way: this text was in force before.
    """
    older = _version(db.session(), version_id)
    slug, published = older.runbook.slug, older.runbook.published
    if published is not None and published.sha256 == older.sha256:
        raise RefusedError(f"This is what v{published.number} says already.")
    message = f"Back to v{older.number}"
    text = service.read_text(slug, older.source, {**BROWSER, "reverts_to": older.number}, message)
    checked = check(slug, older.source, published, today=at.date())
    with unit_of_work() as session:
        service.lock(session)
        runbook = _locked(session, version_id).runbook
        _check_published_is(runbook, published)
        if not was_published(session, version_id):
            raise RefusedError(f"v{older.number} was never published. Edit it instead.")
        version = service.write_version(session, text, published or older, by=by, at=at)
        why_not = refusal_to_publish(
            writers=_only(person(by)),
            actor_id=person(by),
            severity=checked.severity,
            risky_change=checked.risky_change,
            approved_by=(),
        )
        if why_not is None or _is_said(emergency_reason):
            _publish(session, text, version, emergency_reason, why_not is not None, by=by, at=at)
        else:
            _move(session, version, Status.IN_REVIEW, by=by, at=at, text=text)
            search.index(session, runbook.id)
    return version


def retire(slug: str, reason: str, *, by: Actor, at: datetime) -> Runbook:
    """Take a runbook out of use: no alert leads to it any more, and its past stays."""
    if not reason.strip():
        raise RefusedError("Say why it is retired, and what to use instead.")
    with unit_of_work() as session:
        runbook = _runbook(session, slug)
        if runbook.retired_at is not None:
            raise ConflictError(f"{slug} is already retired.")
        if runbook.published is not None:
            _move(session, runbook.published, Status.RETIRED, reason=reason.strip(), by=by, at=at)
        runbook.retired_at = at
        audit.record(
            "runbook.retire_runbook",
            target_kind="runbook",
            target_id=slug,
            target_name=runbook.title,
            before={"retired": False},
            after={"retired": True, "reason": reason.strip()},
            by=by,
            at=at,
        )
        session.flush()
        search.index(session, runbook.id)
    return runbook


def bring_back(slug: str, *, by: Actor, at: datetime) -> Runbook:
    """Put a retired runbook into use again, as it was."""
    with unit_of_work() as session:
        runbook = _runbook(session, slug)
        if runbook.retired_at is None:
            raise ConflictError(f"{slug} is not retired.")
        runbook.retired_at = None
        last = session.scalars(
            select(RunbookVersion)
            .join(VersionEvent, VersionEvent.version_id == RunbookVersion.id)
            .where(
                RunbookVersion.runbook_id == runbook.id,
                VersionEvent.status == Status.PUBLISHED,
            )
            .order_by(VersionEvent.id.desc())
            .limit(1)
        ).first()
        if last is not None and runbook.published_id is None:
            _move(session, last, Status.PUBLISHED, reason="Brought back.", by=by, at=at)
        audit.record(
            "runbook.bring_back",
            target_kind="runbook",
            target_id=slug,
            target_name=runbook.title,
            before={"retired": True},
            after={"retired": False},
            by=by,
            at=at,
        )
        session.flush()
        search.index(session, runbook.id)
    return runbook


# --- What stands in the way


def _hurdle(
    checked: Checked, *, writers: Collection[int], by: Actor, approved_by: Iterable[int]
) -> Hurdle | None:
    if why := refusal_by_findings(len(checked.errors)):
        return Hurdle(why)
    why = refusal_to_publish(
        writers=writers,
        actor_id=person(by),
        severity=checked.severity,
        risky_change=checked.risky_change,
        approved_by=list(approved_by),
    )
    return Hurdle(why, emergency_helps=True) if why else None


def _refuse_or_flag(hurdle: Hurdle | None, emergency_reason: str | None) -> bool:
    """Whether this goes out as an emergency; raises if it can't go out at all."""
    if hurdle is None:
        return False
    if hurdle.emergency_helps and _is_said(emergency_reason):
        return True
    raise RefusedError(hurdle.sentence)


def _is_said(reason: str | None) -> bool:
    return bool(reason and reason.strip())


def _refuse(why: str | None) -> None:
    if why:
        raise RefusedError(why)


def _check_published_is(runbook: Runbook, seen: RunbookVersion | None) -> None:
    """What was compared with must still be what is published."""
    if runbook.published_id != (seen.id if seen else None):
        raise ConflictError(
            "Another version was published at this moment. Look again, then decide."
        )


def _was_published_since(
    session: Session, published: RunbookVersion, version: RunbookVersion
) -> bool:
    if published.id == version.id:
        return False
    events = session.execute(
        select(VersionEvent.id, VersionEvent.version_id, VersionEvent.status)
        .where(VersionEvent.version_id.in_((published.id, version.id)))
        .order_by(VersionEvent.id)
    ).all()
    begun = [event.id for event in events if event.version_id == version.id]
    out = [
        event.id
        for event in events
        if event.version_id == published.id and event.status is Status.PUBLISHED
    ]
    return bool(begun and out) and out[-1] > begun[0]


# --- What the functions above share


def person(by: Actor) -> int | None:
    """The id of a person. Tokens, the command line and Baton have none."""
    return by.id if by.kind == "person" else None


def last_event(session: Session, version_id: int) -> VersionEvent:
    return session.scalars(
        select(VersionEvent)
        .where(VersionEvent.version_id == version_id)
        .order_by(VersionEvent.id.desc())
        .limit(1)
    ).one()


def is_last_event() -> ColumnElement[bool]:
    """As a condition on `VersionEvent`: nothing was said of its version after it."""
    later = aliased(VersionEvent)
    return ~(
        select(later.id)
        .where(later.version_id == VersionEvent.version_id, later.id > VersionEvent.id)
        .exists()
    )


def is_unreviewed() -> ColumnElement[bool]:
    """As a condition on `VersionEvent`: no second person has said a word on its version since."""
    return ~(
        select(Review.id)
        .where(Review.version_id == VersionEvent.version_id, Review.at >= VersionEvent.at)
        .exists()
    )


def is_unreviewed_emergency(session: Session, version: RunbookVersion) -> bool:
    """Whether a version went out in an emergency, and nobody else has read it since."""
    found = select(VersionEvent.id).where(
        VersionEvent.version_id == version.id,
        VersionEvent.status == Status.PUBLISHED,
        VersionEvent.emergency,
        is_unreviewed(),
    )
    return session.scalar(found.limit(1)) is not None


def was_published(session: Session, version_id: int) -> bool:
    found = select(VersionEvent.id).where(
        VersionEvent.version_id == version_id, VersionEvent.status == Status.PUBLISHED
    )
    return session.scalar(found.limit(1)) is not None


def approved_by(session: Session, version_id: int) -> list[int]:
    """The people who approve of a version: of each, the last word counts."""
    rows = session.execute(
        select(Review.by_id, Review.verdict)
        .where(Review.version_id == version_id, Review.by_id.is_not(None))
        .order_by(Review.id)
    )
    last = {row.by_id: row.verdict for row in rows}
    return [one for one, verdict in last.items() if one and verdict is Verdict.APPROVED]


def _publish(
    session: Session,
    text: Text,
    version: RunbookVersion,
    reason: str | None,
    emergency: bool,
    *,
    by: Actor,
    at: datetime,
) -> None:
    said = (reason or "").strip() if emergency else ""
    service.move(
        session,
        [(text, version, Status.PUBLISHED)],
        reason=said,
        emergency=emergency,
        by=by,
        at=at,
    )
    session.flush()
    search.index(session, version.runbook_id)


def _move(
    session: Session,
    version: RunbookVersion,
    to: Status,
    *,
    reason: str = "",
    by: Actor,
    at: datetime,
    text: Text | None = None,
) -> None:
    text = text or service.read_text(version.runbook.slug, version.source, version.origin)
    service.move(session, [(text, version, to)], reason=reason, by=by, at=at)


def _version(session: Session, version_id: int) -> RunbookVersion:
    row = session.scalars(
        select(RunbookVersion)
        .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
        .options(contains_eager(RunbookVersion.runbook).joinedload(Runbook.published))
        .where(RunbookVersion.id == version_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError("This runbook has no such version.")
    return row


def _locked(session: Session, version_id: int) -> RunbookVersion:
    """A version whose runbook nobody else changes until this unit of work ends."""
    version = session.get_one(RunbookVersion, version_id)
    _lock_runbook(session, Runbook.id == version.runbook_id)
    return version


def _runbook(session: Session, slug: str) -> Runbook:
    return _lock_runbook(session, Runbook.slug == slug)


def _lock_runbook(session: Session, which: ColumnElement[bool]) -> Runbook:
    runbook = session.scalars(
        select(Runbook)
        .where(which)
        .with_for_update(of=Runbook)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if runbook is None:
        raise NotFoundError("There is no runbook of that name.")
    return runbook


def _audit(
    action: str, version: RunbookVersion, after: dict[str, object], *, by: Actor, at: datetime
) -> None:
    audit.record(
        action,
        target_kind="runbook",
        target_id=version.runbook.slug,
        target_name=f"{version.title}, v{version.number}",
        after={"version": version.number, **after},
        by=by,
        at=at,
    )
