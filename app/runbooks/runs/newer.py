"""The version that was published while a run follows an older one."""

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import select

from app.core.db import db
from app.runbooks.runs import service
from app.runbooks.runs.queries import Followed
from app.runbooks.runs.rules import SETTLED, RunStatus
from app.runbooks.tables import RunbookVersion
from app.web.navigation import url_if_there


@dataclass(frozen=True, slots=True)
class Newer:
    """A version that was published since."""

    number: int
    version_id: int
    remaining: int  # steps still to be done that changed
    url: str | None


def newer(followed: Followed) -> Newer | None:
    """What was published since the run began, if it is open."""
    run = followed.run
    published = run.runbook.published_id
    if run.status is not RunStatus.OPEN or published in (None, run.version_id):
        return None
    number = db.session.scalar(select(RunbookVersion.number).where(RunbookVersion.id == published))
    if number is None or number <= run.runbook_version.number:
        return None
    remaining = sum(
        followed.state.of(step_id).state not in SETTLED
        for step_id in _changed(run.version_id, published)
    )
    slug, before = run.runbook.slug, run.runbook_version.number
    url = url_if_there("runbooks.diff", slug=slug, before=before, after=number)
    return Newer(number, published, remaining, url)


@lru_cache(256)
def _changed(before_id: int, after_id: int) -> frozenset[str]:
    """The steps that changed between two versions, neither of which ever does."""
    before = db.session.get_one(RunbookVersion, before_id)
    after = db.session.get_one(RunbookVersion, after_id)
    return service.changed_steps(before, after)
