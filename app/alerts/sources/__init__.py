"""Sources of alerts: one module for each sender's format.

A new one is written as docs/adding-a-source.md says, and named here.
"""

from app.alerts.sources.alertmanager import Alertmanager
from app.alerts.sources.base import Source, sender_id_of
from app.alerts.sources.events_v2 import EventsV2
from app.alerts.sources.generic import Generic

__all__ = ["SOURCES", "sender_id_of"]

# By the name of their door, as in /in/alertmanager.
SOURCES: dict[str, Source] = {
    "alertmanager": Alertmanager(),
    "events_v2": EventsV2(),
    "generic": Generic(),
}
