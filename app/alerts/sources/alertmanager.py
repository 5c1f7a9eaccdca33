"""Alertmanager's webhook, version 4 and older, and bare lists of alerts as Prometheus posts them.

A list has no status, neither of its own nor for an alert. Prometheus sets `endsAt` in the future
while an alert fires ("forget it then, unless I say it again") and to the end once it is over. So
only the time of arrival tells the two apart, as it does in Alertmanager itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.alerts.sources.base import (
    MAX_ANNOTATION,
    MAX_LABEL,
    MAX_NAME,
    RECEIVED_AT,
    Alert,
    AlertStatus,
    ElementError,
    Glance,
    Link,
    Parsed,
    UnparsableError,
    as_text,
    fingerprint_of,
    first_line,
    hashed,
    identity,
    kind_of,
    links_in,
    moment,
    read_each,
    sender_id_of,
    texts,
    web_links,
)

UNNAMED = "Unnamed alert"
STATUSES = {"firing": AlertStatus.FIRING, "resolved": AlertStatus.RESOLVED}
SUMMARIES = ("summary", "title", "message", "description")
# Fields of an alert that hold an address; the last three are Grafana's.
ADDRESSES = (
    ("generatorURL", "Graph"),
    ("dashboardURL", "Dashboard"),
    ("panelURL", "Panel"),
    ("silenceURL", "Silence"),
)


@dataclass(frozen=True, slots=True)
class Group:
    """What is known of all alerts of a delivery."""

    status: AlertStatus | None
    key: str | None
    received_at: datetime | None


class Alertmanager:
    name = "alertmanager"
    title = "Alertmanager"
    sends = "Webhooks of Prometheus Alertmanager, and lists of alerts as Prometheus posts them"
    status = 200
    times_tell_order = True

    def glance(self, document: Any, headers: Mapping[str, str]) -> Glance:
        elements = elements_of(document)
        return Glance(
            what=in_one_line(document, elements),
            # A bare list is about many groups, so that it has no one subject.
            subject=group_key_of(document),
            sender_id=sender_id_of(headers),
        )

    def parse(self, document: Any, headers: Mapping[str, str]) -> Parsed:
        group = Group(
            status=group_status(document),
            key=group_key_of(document),
            received_at=moment(headers.get(RECEIVED_AT), called="time of arrival", remarks=[]),
        )
        alerts, faults = read_each(elements_of(document), partial(read_alert, group=group))
        still_fires = any(alert.status is AlertStatus.FIRING for alert in alerts)
        is_over = group.status is AlertStatus.RESOLVED and not still_fires
        return Parsed(alerts=alerts, faults=faults, resolved_group=group.key if is_over else None)

    def receiver_example(self, url: str) -> str:
        return f"""\
receivers:
  - name: baton
    webhook_configs:
      - url: {url}
        send_resolved: true
        http_config:
          authorization:
            credentials_file: /etc/alertmanager/baton.key
"""


def elements_of(document: Any) -> list[Any]:
    """The alerts of a delivery, unread."""
    elements = document.get("alerts") if isinstance(document, dict) else document
    if not isinstance(elements, list):
        raise UnparsableError(
            "Alertmanager sends a JSON object with a list named alerts, or a bare list of alerts; "
            "this is neither."
        )
    return elements


def group_status(document: Any) -> AlertStatus | None:
    return known_status(document.get("status")) if isinstance(document, dict) else None


def known_status(said: object) -> AlertStatus | None:
    return STATUSES.get(said.strip().lower()) if isinstance(said, str) else None


def group_key_of(document: Any) -> str | None:
    """The group, hashed; version 3 has an integer for it. None if the sender names no group."""
    if not isinstance(document, dict):
        return None
    if key := as_text(document.get("groupKey")):
        return hashed(key)
    labels = texts(document.get("groupLabels"), MAX_LABEL, called="group labels", remarks=[])
    # Without labels it would be one group with all else that names none.
    return hashed(as_text(document.get("receiver")), fingerprint_of(labels)) if labels else None


def in_one_line(document: Any, elements: list[Any]) -> str:
    """What the list of deliveries shows, without a look at each alert."""
    count = "1 alert" if len(elements) == 1 else f"{len(elements)} alerts"
    name, status = "", None
    if isinstance(document, dict):
        name = label_of(document.get("commonLabels")) or label_of(document.get("groupLabels"))
        status = group_status(document)
        if isinstance(unnamed := document.get("truncatedAlerts"), int) and unnamed > 0:
            count += f" and {as_text(unnamed, 20)} not named"
    if name or len(elements) == 1:
        name = name or first_name(elements) or UNNAMED
        return f"{name} {status}, {count}" if status else f"{name}, {count}"
    return f"{count}, the first {first_name(elements) or UNNAMED}" if elements else "No alerts"


def first_name(elements: list[Any]) -> str:
    first = elements[0]
    return label_of(first.get("labels")) if isinstance(first, dict) else ""


def label_of(labels: object) -> str:
    return first_line([as_text(labels.get("alertname"))], 120) if isinstance(labels, dict) else ""


def read_alert(said: object, group: Group) -> Alert:
    if not isinstance(said, dict):
        raise ElementError(f"An alert is an object; this is {kind_of(said)}.")
    remarks: list[str] = []
    labels = texts(said.get("labels"), MAX_LABEL, called="labels", remarks=remarks)
    fingerprint = identity(said.get("fingerprint")) or (fingerprint_of(labels) if labels else "")
    if not fingerprint:
        raise ElementError("It has neither labels nor a fingerprint, so nothing tells which it is.")
    annotations = texts(
        said.get("annotations"), MAX_ANNOTATION, called="annotations", remarks=remarks
    )
    starts_at = moment(said.get("startsAt"), called="startsAt", remarks=remarks)
    ends_at = moment(said.get("endsAt"), called="endsAt", remarks=remarks)
    status = read_status(said.get("status"), group, ends_at, remarks)
    if status is not AlertStatus.RESOLVED:
        ends_at = None
    elif starts_at and ends_at and ends_at < starts_at:
        remarks.append("It ends before it starts, so that its end is read as unknown.")
        ends_at = None
    name = first_line([labels.get("alertname", "")], MAX_NAME) or UNNAMED
    return Alert(
        fingerprint=fingerprint,
        status=status,
        name=name,
        summary=first_line([annotations.get(key, "") for key in SUMMARIES]) or name,
        labels=labels,
        annotations=annotations,
        severity=labels.get("severity") or labels.get("priority") or "",
        starts_at=starts_at,
        ends_at=ends_at,
        links=links_of(said, annotations, remarks),
        group_key=group.key,
        remarks=tuple(remarks),
    )


def read_status(
    said: object, group: Group, ends_at: datetime | None, remarks: list[str]
) -> AlertStatus:
    """An alert's own word, else its group's, else its end; in doubt it fires."""
    if status := known_status(said):
        if status is AlertStatus.FIRING and group.status is AlertStatus.RESOLVED:
            remarks.append("It fires although its group is said to be resolved.")
        return status
    if said is not None and said != "":
        remarks.append(f"Its status, {as_text(said, 60)!r}, is unknown.")
    if group.status is AlertStatus.RESOLVED:
        return AlertStatus.RESOLVED
    is_over = ends_at is not None and group.received_at is not None and ends_at <= group.received_at
    return AlertStatus.RESOLVED if is_over else AlertStatus.FIRING


def links_of(
    said: dict[str, Any], annotations: Mapping[str, str], remarks: list[str]
) -> tuple[Link, ...]:
    addresses = [(said[field], words) for field, words in ADDRESSES if said.get(field)]
    links = web_links(*addresses, *links_in(annotations))
    known = {link.href for link in links}
    for address, words in addresses:
        if as_text(address).strip() not in known:
            remarks.append(
                f"Its link {words}, {as_text(address, 60)!r}, is not a web address, and left out."
            )
    return links
