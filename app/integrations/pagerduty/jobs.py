"""Background work of the outbox."""

from flask import current_app

from app.core.clock import now
from app.integrations.pagerduty import outbox, sending
from app.integrations.pagerduty.rules import Outcome


def send_lane(lane: str) -> None:
    """Send what waits in a lane, one message after the other, until one does not go through."""
    pager = current_app.extensions["gateways"].pager
    while claim := sending.claim_next(lane, at=now()):
        answer = pager.send(claim.outgoing)
        sending.record(claim, answer, at=now())
        if answer.outcome is Outcome.TRY_AGAIN:
            return


def wake_lanes(lanes: list[str]) -> None:
    """Wake many lanes, some in each transaction. One that is woken twice finds nothing to send."""
    outbox.wake_in_turns(lanes)


def sweep() -> None:
    """Wake the lanes whose wake-up never came."""
    sending.wake_overdue(at=now())
