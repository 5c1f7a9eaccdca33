"""The shape of an event that PagerDuty takes: pure functions."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

SUMMARY_LENGTH = 1024
DEDUP_KEY_LENGTH = 255
FIELD_LENGTH = 255
LINK_TEXT_LENGTH = 255
URL_LENGTH = 2048
MOST_LINKS = 10  # and as many images
BODY_BYTES = 512_000
KEYS_BYTES = 2_048  # room for what is sent beside the event: keys and action
SEVERITIES = frozenset({"critical", "error", "warning", "info"})


def fit(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event, cut to what PagerDuty takes. A page must not be lost for being too long."""
    event = _sendable(event)
    fitted: dict[str, Any] = {"payload": _payload(event.get("payload") or {})}
    if client := event.get("client"):
        fitted["client"] = str(client)[:FIELD_LENGTH]
    if _is_url(event.get("client_url")):
        fitted["client_url"] = event["client_url"]
    if links := [_link(link) for link in event.get("links") or [] if _is_url(link.get("href"))]:
        fitted["links"] = links[:MOST_LINKS]
    if images := [
        _image(image)
        for image in event.get("images") or []
        if _is_url(image.get("src"), schemes=("https://",))
    ]:
        fitted["images"] = images[:MOST_LINKS]
    if _size(fitted) > BODY_BYTES - KEYS_BYTES:
        fitted["payload"]["custom_details"] = {"details": _where_the_details_are(fitted)}
    return fitted


def fit_dedup_key(key: str) -> str:
    """The key, or a shorter one that no other key is cut to."""
    key = _sendable_text(key)
    if len(key) <= DEDUP_KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: DEDUP_KEY_LENGTH - len(digest) - 1]}:{digest}"


def _payload(payload: Mapping[str, Any]) -> dict[str, Any]:
    severity = str(payload.get("severity"))
    fitted: dict[str, Any] = {
        "summary": str(payload.get("summary") or "Incident without a title")[:SUMMARY_LENGTH],
        "source": str(payload.get("source") or "baton")[:FIELD_LENGTH],
        "severity": severity if severity in SEVERITIES else "error",
    }
    for name in ("component", "group", "class"):
        if value := payload.get(name):
            fitted[name] = str(value)[:FIELD_LENGTH]
    if timestamp := _timestamp(payload.get("timestamp")):
        fitted["timestamp"] = timestamp
    details = payload.get("custom_details")
    if details:
        fitted["custom_details"] = details if isinstance(details, dict) else {"details": details}
    return fitted


def _timestamp(value: Any) -> str | None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return str(value)


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "href": link["href"],
        "text": str(link.get("text") or link["href"])[:LINK_TEXT_LENGTH],
    }


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    fitted = {"src": image["src"]}
    if _is_url(image.get("href")):
        fitted["href"] = image["href"]
    if alt := image.get("alt"):
        fitted["alt"] = str(alt)[:LINK_TEXT_LENGTH]
    return fitted


def _is_url(value: Any, schemes: tuple[str, ...] = ("https://", "http://")) -> bool:
    return isinstance(value, str) and len(value) <= URL_LENGTH and value.lower().startswith(schemes)


def _where_the_details_are(event: Mapping[str, Any]) -> str:
    links = [link["href"] for link in event.get("links", ())]
    url = event.get("client_url") or next(iter(links), None)
    sentence = "The details are too large for PagerDuty."
    return f"{sentence} See {url}" if url else f"{sentence} See the incident in Baton."


def _size(event: Mapping[str, Any]) -> int:
    return len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())


def _sendable(value: Any) -> Any:
    """The same without what JSON or PostgreSQL can't hold: NaN, NUL and halves of surrogates."""
    if isinstance(value, str):
        return _sendable_text(value)
    if isinstance(value, Mapping):
        return {_sendable_text(str(key)): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return _sendable_text(str(value))


def _sendable_text(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
