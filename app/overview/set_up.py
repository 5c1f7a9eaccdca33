"""How far the first run has come. What is done is read from what is there: nothing is kept of it."""

from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased

from app.alerts import health_feed
from app.alerts.rules import DeliveryState
from app.alerts.sources import SOURCES
from app.alerts.sources.base import Source
from app.alerts.tables import Delivery, Integration
from app.alerts.trial import NAME as TEST_NAME
from app.alerts.trial import TRIALS
from app.alerts.views import DOORS
from app.config import settings
from app.core.db import db
from app.incidents.rules import mode_from_name
from app.incidents.tables import Incident
from app.overview.queries import ARRIVED, AnyRow
from app.overview.rules import at_most
from app.overview.sample import plan as sample
from app.people.rules import BATON
from app.registry.tables import Team

STEPS = 3
FIRST_SOURCE = "alertmanager"
COUNTED = 100  # deliveries; more prove no more
# What Baton sees of models itself comes in by a door of its own, which nobody has set up.
OWN_DOOR = select(Integration.id).where(
    Integration.name == health_feed.NAME, Integration.created_by == BATON.name
)
IS_ANOTHERS = or_(Delivery.integration_id.is_(None), Delivery.integration_id.not_in(OWN_DOOR))
OPEN_DOOR = (Integration.closed_at.is_(None), Integration.id.not_in(OWN_DOOR))


@dataclass(frozen=True, slots=True)
class SetUp:
    """The three steps. Each has what was done; None while it is to do."""

    key: AnyRow | None  # the newest open integration
    delivery: AnyRow | None  # the first that arrived
    connected: AnyRow | None  # a team with a key for PagerDuty
    arrived: int  # deliveries so far, up to COUNTED
    refused: AnyRow | None  # the newest refusal, while nothing has arrived
    team: AnyRow | None  # whom to connect next
    has_incident: bool  # a real one, not that of a test

    @property
    def done(self) -> int:
        return sum(step is not None for step in (self.key, self.delivery, self.connected))

    @property
    def next(self) -> int:
        """The number of the first step that is to do."""
        steps = (self.key, self.delivery, self.connected)
        return next((number for number, step in enumerate(steps, 1) if step is None), STEPS)

    @property
    def can_test(self) -> bool:
        """Whether Baton knows what the sender behind the newest key would say."""
        return self.key is not None and self.key.source in TRIALS

    @property
    def sender(self) -> Source:
        """Whose configuration is shown: the newest key's."""
        return SOURCES[self.key.source if self.key else FIRST_SOURCE]

    @property
    def receiver(self) -> str:
        """What its configuration needs, to send to us."""
        path = DOORS.get(self.sender.name, f"/in/{self.sender.name}")
        return self.sender.receiver_example(f"{settings().url}{path}")

    @property
    def arrived_in_words(self) -> str:
        return at_most(self.arrived, COUNTED)

    @property
    def small(self) -> bool:
        """Whether real work has begun, so that the set-up must not stand in its way."""
        return self.has_incident and self.key is not None and self.delivery is not None


def so_far() -> SetUp | None:
    """None once all is done."""
    open_door = select(Integration.id).where(*OPEN_DOOR)
    arrived = select(Delivery.id).where(Delivery.state.in_(ARRIVED), IS_ANOTHERS)
    connected = select(Team.id).where(Team.routing_key_encrypted.is_not(None))
    real = select(Incident.id).where(Incident.failure_mode != mode_from_name(TEST_NAME))
    row = db.session.execute(
        select(open_door.exists(), arrived.exists(), connected.exists(), real.exists())
    ).one()
    if all(row[:STEPS]):
        return None
    return SetUp(
        key=_newest_key() if row[0] else None,
        delivery=_first_delivery() if row[1] else None,
        connected=_team(connected=True) if row[2] else None,
        arrived=_count_arrived(),
        refused=None if row[1] else _newest_refusal(),
        team=None if row[2] else _team(connected=False),
        has_incident=row[3],
    )


def _newest_key() -> AnyRow | None:
    return db.session.execute(
        select(
            Integration.id,
            Integration.name,
            Integration.source,
            Integration.last_four,
            Integration.created_at,
            Integration.created_by,
        )
        .where(*OPEN_DOOR)
        .order_by(Integration.id.desc())
        .limit(1)
    ).one_or_none()


def _first_delivery() -> AnyRow | None:
    first = aliased(Delivery)
    return db.session.execute(
        select(Delivery.received_at, Delivery.what, Delivery.state, Integration.name)
        .outerjoin(Integration, Integration.id == Delivery.integration_id)
        .where(
            Delivery.id
            == select(func.min(first.id))
            .where(
                first.state.in_(ARRIVED),
                or_(first.integration_id.is_(None), first.integration_id.not_in(OWN_DOOR)),
            )
            .scalar_subquery()
        )
    ).one_or_none()


def _count_arrived() -> int:
    some = select(Delivery.id).where(Delivery.state.in_(ARRIVED), IS_ANOTHERS).limit(COUNTED)
    return db.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _newest_refusal() -> AnyRow | None:
    return db.session.execute(
        select(Delivery.received_at, Delivery.why)
        .where(Delivery.state == DeliveryState.REFUSED)
        .order_by(Delivery.id.desc())
        .limit(1)
    ).one_or_none()


def _team(*, connected: bool) -> AnyRow | None:
    key = Team.routing_key_encrypted
    return db.session.execute(
        select(Team.id, Team.slug, Team.name, Team.routing_key_last_four)
        # The sample's team is nobody's to connect.
        .where(key.is_not(None) if connected else key.is_(None) & (Team.slug != sample.TEAM.slug))
        .order_by(Team.triages.desc(), Team.id)
        .limit(1)
    ).one_or_none()
