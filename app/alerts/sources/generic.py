"""Baton's own format, for senders that have none. docs/adding-a-source.md describes it."""

from collections.abc import Mapping
from typing import Any

from app.alerts.sources.base import (
    MAX_ANNOTATION,
    MAX_LABEL,
    MAX_NAME,
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
    short_id,
    texts,
    web_links,
)

# Labels that may be written beside the name, because they decide on the incident.
SHORTHAND = ("model", "model_version", "version", "failure_mode", "feature")


class Generic:
    name = "generic"
    title = "Generic JSON"
    sends = "Alerts in Baton's own JSON, from a script, a scheduler or a training job"
    status = 202
    times_tell_order = True

    def glance(self, document: Any, headers: Mapping[str, str]) -> Glance:
        elements = elements_of(document)
        said = document.get("delivery_id") if isinstance(document, dict) else None
        # No subject: an alert may come alone or among others, so that none would see all that is
        # said about it. A repeat is processed, and found to say nothing new.
        return Glance(
            what=in_one_line(elements),
            sender_id=sender_id_of(headers) or short_id(as_text(said).strip()) or None,
        )

    def parse(self, document: Any, headers: Mapping[str, str]) -> Parsed:
        alerts, faults = read_each(elements_of(document), read_alert)
        return Parsed(alerts=alerts, faults=faults)

    def receiver_example(self, url: str) -> str:
        return f"""\
curl {url} \\
  --header "Authorization: Bearer $BATON_KEY" \\
  --data '{{"name": "NightlyRetrainFailed", "model": "churn-weekly", "severity": "warning"}}'
"""


def elements_of(document: Any) -> list[Any]:
    """The alerts of a delivery, unread: a list of them, or one alone."""
    if isinstance(document, dict):
        document = document.get("alerts", [document])
    if not isinstance(document, list):
        raise UnparsableError(
            "An alert is a JSON object with a name. Several go into a list named alerts."
        )
    return document


def in_one_line(elements: list[Any]) -> str:
    """What the list of deliveries shows, without a look at each alert."""
    if not elements:
        return "No alerts"
    first = elements[0] if isinstance(elements[0], dict) else {}
    name = first_line([as_text(first.get("name"))], 120) or "unnamed"
    if len(elements) > 1:
        return f"{len(elements)} alerts, the first {name}"
    return f"{name} {as_text(first.get('status'), 60).strip() or AlertStatus.FIRING}"


def read_alert(said: object) -> Alert:
    if not isinstance(said, dict):
        raise ElementError(f"An alert is an object; this is {kind_of(said)}.")
    remarks: list[str] = []
    labels = labels_of(said, remarks)
    name = first_line([labels.get("alertname", "")], MAX_NAME)
    if not name:
        raise ElementError("It has no name.")
    annotations = texts(
        said.get("annotations"), MAX_ANNOTATION, called="annotations", remarks=remarks
    )
    status = read_status(said.get("status"), remarks)
    ends_at = moment(said.get("ends_at"), called="ends_at", remarks=remarks)
    fingerprint = identity(said.get("fingerprint")) or identity(said.get("dedup_key"))
    group = as_text(said.get("group"))
    return Alert(
        fingerprint=fingerprint or fingerprint_of(labels),
        status=status,
        name=name,
        summary=first_line([as_text(said.get("summary")), annotations.get("summary", "")]) or name,
        labels=labels,
        annotations=annotations,
        severity=as_text(said.get("severity"), MAX_LABEL) or labels.get("severity", ""),
        starts_at=moment(said.get("starts_at"), called="starts_at", remarks=remarks),
        ends_at=ends_at if status is AlertStatus.RESOLVED else None,
        links=links_of(said, annotations, remarks),
        group_key=hashed(group) if group else None,
        remarks=tuple(remarks),
    )


def labels_of(said: dict[str, Any], remarks: list[str]) -> dict[str, str]:
    """The labels, with the name among them as alertname, and with those in shorthand."""
    beside = {"alertname": said.get("name"), **{name: said.get(name) for name in SHORTHAND}}
    found = {name: value for name, value in beside.items() if value not in (None, "")}
    labels = said.get("labels")
    if not isinstance(labels, dict):
        labels = texts(labels, MAX_LABEL, called="labels", remarks=remarks)  # which says so
    # What stands beside the name wins, and comes first: of very many labels the last are cut.
    return texts({**found, **labels, **found}, MAX_LABEL, called="labels", remarks=remarks)


def read_status(said: object, remarks: list[str]) -> AlertStatus:
    word = as_text(said, 60).strip()
    try:
        return AlertStatus(word.lower() or AlertStatus.FIRING)
    except ValueError:
        remarks.append(f"Its status, {word!r}, is unknown; read as firing.")
        return AlertStatus.FIRING


def links_of(
    said: dict[str, Any], annotations: Mapping[str, str], remarks: list[str]
) -> tuple[Link, ...]:
    candidates: list[tuple[object, str]] = []
    links = said.get("links")
    for link in links if isinstance(links, list) else []:
        href, words = (link.get("href"), link.get("text")) if isinstance(link, dict) else (link, "")
        candidates.append((href, as_text(words)))
    kept = web_links(*candidates)
    if len(kept) < len({as_text(href) for href, _ in candidates}):
        remarks.append("Links that are not web addresses were left out, and such beyond the 20th.")
    return web_links(*candidates, *links_in(annotations))
