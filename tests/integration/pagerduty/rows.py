"""What the outbox and the queue of jobs hold."""

from sqlalchemy import select

from app.core.db import db
from app.core.jobs import _client
from app.integrations.pagerduty.outbox import SEND_LANE
from app.integrations.pagerduty.tables import Message


def messages() -> list[Message]:
    db.session.rollback()
    return list(
        db.session.scalars(
            select(Message).order_by(Message.id).execution_options(populate_existing=True)
        )
    )


def states() -> list[str]:
    return [str(message.state) for message in messages()]


def wake_ups() -> list[tuple[str, float | None]]:
    """The lanes that a job waits for, and in how many seconds it is due."""
    found = _client().list_workflows(name=SEND_LANE, load_input=True, load_output=False)
    return [
        (
            job.input["args"][0],
            (job.delay_until_epoch_ms - job.created_at) / 1000
            if job.delay_until_epoch_ms and job.created_at
            else None,
        )
        for job in found
        if job.input
    ]
