"""PagerDuty's Events API v2, so that whatever can page PagerDuty can send to Baton instead.

An event without an action is a change event, on whichever of the two paths it came.
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.alerts.sources.base import (
    GENERATED_KEY,
    MAX_ANNOTATION,
    MAX_LABEL,
    MAX_NAME,
    Alert,
    AlertStatus,
    ChangeEvent,
    ElementError,
    Fault,
    Glance,
    Parsed,
    UnparsableError,
    as_text,
    decode,
    first_line,
    hashed,
    identity,
    links_in,
    moment,
    sender_id_of,
    texts,
    web_links,
)
from app.incidents.rules import severity_of

ACTIONS = {
    "trigger": AlertStatus.FIRING,
    "acknowledge": AlertStatus.ACKNOWLEDGED,
    "resolve": AlertStatus.RESOLVED,
}
LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,59}")
MAX_DETAIL_AS_LABEL = 200
# In custom_details Alertmanager and Grafana write about each alert of the group, and count them.
LISTS = ("firing", "resolved")
COUNTS = ("num_firing", "num_resolved")
# After the labels and annotations of an alert; Grafana has the value before the next one's labels.
FIELD_LINE = re.compile(r"(Source|Silence|Dashboard|Panel|Value):(.*)")


@dataclass(slots=True)
class Listed:
    """One of the alerts that an event stands for, as custom_details tell of it."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    links: list[tuple[object, str]] = field(default_factory=list)


class EventsV2:
    name = "events_v2"
    title = "PagerDuty Events API v2"
    sends = "Events and change events of anything that can send to PagerDuty"
    status = 202
    times_tell_order = False  # PagerDuty takes events as they come, whatever their timestamp

    def glance(self, document: Any, headers: Mapping[str, str]) -> Glance:
        action, delivery = action_of(document), sender_id_of(headers)
        summary = as_text(payload_of(document).get("summary"), 1024)
        if not action:
            if not isinstance(document, dict) or not isinstance(document.get("payload"), dict):
                raise UnparsableError(
                    "An event is a JSON object with an event_action, or a change event with a "
                    "payload; this is neither."
                )
            return Glance(
                what=first_line([f"Change: {summary}"], 200),
                sender_id=delivery,
                reply={"status": "success", "message": "Change event processed"},
            )
        key = key_of(document)
        subject = hashed(key) if key else None
        kept = {}
        if not key and action == "trigger":
            # A new alert each time, resolved with the key that we answer. A second attempt of the
            # same delivery is answered with the same key: only the first is processed.
            key = hashed(delivery)[:32] if delivery else secrets.token_hex(16)
            kept[GENERATED_KEY] = key
        reply = {"status": "success", "message": "Event processed"}
        return Glance(
            what=first_line([f"{action.capitalize()}: {summary or key}"], 200),
            subject=subject,
            sender_id=delivery,
            reply={**reply, "dedup_key": key} if key else reply,
            kept=kept,
        )

    def parse(self, document: Any, headers: Mapping[str, str]) -> Parsed:
        try:
            if not action_of(document):
                return Parsed(changes=(read_change(document),))
            return Parsed(alerts=(read_event(document, headers),))
        except ElementError as error:
            return Parsed(faults=(Fault("the event", str(error)),))

    def routing_key(self, document: Any, headers: Mapping[str, str]) -> str | None:
        """The key that the event carries, in its body or, as Kibana does, in a header."""
        said = document.get("routing_key") if isinstance(document, dict) else None
        key = said.strip() if isinstance(said, str) else ""
        return key or headers.get("x-routing-key", "").strip() or None

    def receiver_example(self, url: str) -> str:
        return f"""\
receivers:
  - name: baton
    pagerduty_configs:
      - url: {url}
        routing_key_file: /etc/alertmanager/baton.key
        severity: '{{{{ .CommonLabels.severity }}}}'
"""


def action_of(document: Any) -> str:
    said = document.get("event_action") if isinstance(document, dict) else None
    return as_text(said, 60).strip().lower()


def payload_of(document: Any) -> dict[str, Any]:
    payload = document.get("payload") if isinstance(document, dict) else None
    return payload if isinstance(payload, dict) else {}


def key_of(document: dict[str, Any]) -> str:
    """The dedup_key; nothing stands for none, as with PagerDuty."""
    return as_text(document.get("dedup_key")).strip()


def read_event(document: dict[str, Any], headers: Mapping[str, str]) -> Alert:
    action, payload = action_of(document), payload_of(document)
    status = ACTIONS.get(action)
    if status is None:
        raise ElementError(
            f"Its event_action is {action!r}; trigger, acknowledge and resolve are known."
        )
    fingerprint = identity(document.get("dedup_key"))
    if not fingerprint:
        if status is not AlertStatus.FIRING:
            raise ElementError(f"It has no dedup_key, so that nothing tells what to {action}.")
        fingerprint = identity(headers.get(GENERATED_KEY)) or hashed(as_text(document))
    remarks: list[str] = []
    if status is AlertStatus.FIRING and not payload:
        remarks.append("It has no payload, so that only its key tells what it is about.")
    details = details_of(payload)
    listed = listed_in(details)
    labels = labels_of(payload, details, shared(one.labels for one in listed), remarks)
    summary = as_text(payload.get("summary"))
    annotations = texts(
        {"summary": summary or None, **shared(one.annotations for one in listed), **details},
        MAX_ANNOTATION,
        called="annotations",
        remarks=remarks,
    )
    name = name_of(payload, labels, listed)
    at = moment(payload.get("timestamp"), called="timestamp", remarks=remarks)
    return Alert(
        fingerprint=fingerprint,
        status=status,
        name=name,
        summary=first_line([summary]) or name,
        labels=labels,
        annotations=annotations,
        severity=read_severity(payload, labels, remarks),
        starts_at=at if status is AlertStatus.FIRING else None,
        ends_at=at if status is AlertStatus.RESOLVED else None,
        links=web_links(
            *links_of(document, payload),
            *links_in(annotations),
            *(link for one in listed for link in one.links),
        ),
        remarks=tuple(remarks),
    )


def read_change(document: dict[str, Any]) -> ChangeEvent:
    payload = payload_of(document)
    summary = first_line([as_text(payload.get("summary"))], 1024)
    if not summary:
        raise ElementError("A change event needs a payload.summary that says what was changed.")
    details = details_of(payload)
    return ChangeEvent(
        summary=summary,
        source=as_text(payload.get("source"), 300),
        at=moment(payload.get("timestamp"), called="timestamp", remarks=[]),
        links=web_links(*links_of(document, payload)),
        labels=labels_of(payload, details, {}, remarks=[]),
        detail=texts(details, MAX_ANNOTATION, called="details", remarks=[]),
    )


def details_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The custom_details; what is no object, though it should be one, under that name."""
    said = payload.get("custom_details")
    if isinstance(said, dict):
        return said
    return {} if said is None or said == "" else {"custom_details": said}


def labels_of(
    payload: Mapping[str, Any],
    details: Mapping[str, Any],
    listed: Mapping[str, str],
    remarks: list[str],
) -> dict[str, str]:
    """Labels from wherever an event may have them; those of the listed alerts come first."""
    found: dict[str, Any] = dict(listed)
    for name, value in details.items():
        if name not in (*LISTS, *COUNTS) and looks_like_label(name, value):
            found.setdefault(name, value)
    for name in ("component", "group", "class", "source"):
        if payload.get(name) not in (None, ""):
            found.setdefault(name, payload[name])
    return texts(found, MAX_LABEL, called="labels", remarks=remarks)


def looks_like_label(name: str, value: object) -> bool:
    if isinstance(value, str):
        fits = 0 < len(value) <= MAX_DETAIL_AS_LABEL and "\n" not in value
    else:
        fits = isinstance(value, (int, float))  # also true and false
    return fits and LABEL_NAME.fullmatch(name) is not None


def name_of(payload: Mapping[str, Any], labels: Mapping[str, str], listed: Sequence[Listed]) -> str:
    """The alertname: the event's own, or that of the first listed alert. Else what is nearest."""
    candidates = [labels.get("alertname", "")]
    candidates += [one.labels.get("alertname", "") for one in listed[:1]]
    candidates += [as_text(payload.get("class")), as_text(payload.get("component"))]
    return first_line(candidates, MAX_NAME) or EventsV2.name


def read_severity(payload: Mapping[str, Any], labels: Mapping[str, str], remarks: list[str]) -> str:
    """The severity. A sender's own words for it are let pass if Baton knows them."""
    said = as_text(payload.get("severity"), 60).strip()
    if not said:
        return labels.get("severity", "")
    if severity_of(said) is not None:
        return said
    remarks.append(
        f"Its severity, {said!r}, is not one of critical, error, warning and info; read as error."
    )
    return "error"


def links_of(document: Mapping[str, Any], payload: Mapping[str, Any]) -> list[tuple[object, str]]:
    """Links, images and the client's page. Keep has the first two inside the payload."""
    found: list[tuple[object, str]] = []
    for holder in (document, payload):
        links, images = objects_in(holder.get("links")), objects_in(holder.get("images"))
        found += [(link.get("href"), as_text(link.get("text"))) for link in links]
        found += [(image.get("src"), as_text(image.get("alt")) or "Image") for image in images]
        found += [(image.get("href"), as_text(image.get("alt")) or "Image") for image in images]
    found.append((document.get("client_url"), as_text(document.get("client")) or "Client"))
    return found


def objects_in(said: object) -> list[dict[str, Any]]:
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def listed_in(details: Mapping[str, Any]) -> list[Listed]:
    """The alerts that fire, or, when none does any more, those that did.

    Alertmanager and Grafana write them as text, newer versions of Alertmanager as JSON.
    """
    for part in LISTS:
        said = details.get(part)
        if isinstance(said, str) and said.lstrip().startswith("["):
            try:
                said = decode(said.encode("utf-8", "replace"))
            except UnparsableError:
                continue
        found = listed_in_text(said) if isinstance(said, str) else listed_in_json(said)
        if found:
            return found
    return []


def listed_in_json(said: object) -> list[Listed]:
    return [
        Listed(
            labels=texts(one.get("labels"), MAX_LABEL, called="labels", remarks=[]),
            annotations=texts(
                one.get("annotations"), MAX_ANNOTATION, called="annotations", remarks=[]
            ),
            links=[(one.get("generatorURL"), "Graph")],
        )
        for one in objects_in(said)
    ]


def listed_in_text(said: str) -> list[Listed]:
    """Read lines such as "Labels:", " - model = recsys-home", "Source: https://…"."""
    found: list[Listed] = []
    part: dict[str, str] | None = None
    name = ""
    for line in said.split("\n"):
        if line == "Labels:":
            found.append(Listed())
            part = found[-1].labels
        elif not found:
            continue
        elif line == "Annotations:":
            part = found[-1].annotations
        elif said_of := FIELD_LINE.fullmatch(line):
            words = "Graph" if said_of[1] == "Source" else said_of[1]
            found[-1].links.append((said_of[2], words))  # unless it is no address
            part = None
        elif part is not None and line.startswith(" - ") and " = " in line:
            name, _, value = line[3:].partition(" = ")
            part[name] = value
        elif part and name in part and len(part[name]) < MAX_ANNOTATION:
            part[name] += f"\n{line}"  # a value of several lines
    return found


def shared(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What all of them have, with the same value."""
    first, *others = [*parts] or [{}]
    return {
        name: value.strip()
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }
