"""Sending to PagerDuty with its own client, and to the sandbox pager with the same one."""

import re
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path

import httpx2
import pagerduty

from app.core.clock import now
from app.integrations.pagerduty.rules import FULL, Action, Answer, Outcome, Outgoing
from app.integrations.pagerduty.sandbox import SandboxPager

EVENTS_URLS = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
SANDBOX_URL = "https://sandbox-pager.invalid"  # nothing leaves the process
SANDBOX_KEY = "sandbox".ljust(32, "0")
TIMEOUT = 4.0  # seconds, for each of connecting, writing and waiting for the answer

# Statuses that judge the event itself. Others below 500 come from a proxy or a wrong address, and
# a page must go out by itself once that is mended.
REFUSALS = frozenset({400, 413, 414, 422})

# After these nothing was handed over. After any other failure PagerDuty may have the message.
NEVER_LEFT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


class PagerDuty:
    """The Events API of PagerDuty, or the sandbox pager for messages without a routing key."""

    def __init__(
        self,
        sandbox: SandboxPager,
        *,
        events_url: str = "",
        ca: Path | None = None,
        timeout: float = TIMEOUT,
        clock: Callable[[], datetime] = now,
    ) -> None:
        if events_url and not events_url.startswith("https://"):
            raise ValueError("BATON_PAGERDUTY_EVENTS_URL must start with https://.")
        self._sandbox = sandbox
        self._events_url = events_url.rstrip("/")
        self._timeout = timeout
        self._clock = clock
        self._ca = ca
        self._clients: dict[tuple[str, str | None], pagerduty.EventsApiV2Client] = {}
        self._turn = threading.Lock()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Which certificates are trusted. Reading them takes long enough to do it once."""
        context = httpx2.create_ssl_context()
        if self._ca is not None:
            context.load_verify_locations(cafile=self._ca)
        return context

    def send(self, message: Outgoing) -> Answer:
        """Hand one message over. Says what became of it; never raises for the pager's failures."""
        client = self._client(message)
        trigger = message.event if message.action is Action.TRIGGER else {}
        try:
            client.send_event(message.action, message.dedup_key, **trigger)
        except pagerduty.Error as error:
            return self._explain(error, message)
        except httpx2.HTTPError as error:
            return _broken(error, _name(message))
        return _answer(Outcome.ACCEPTED, f"{_name(message)} took it.")

    def _client(self, message: Outgoing) -> pagerduty.EventsApiV2Client:
        """The client of this key and region. It keeps its connection, and threads share it."""
        which = (message.region, message.routing_key)
        with self._turn:
            if which not in self._clients:
                self._clients[which] = self._new_client(message)
            return self._clients[which]

    def _new_client(self, message: Outgoing) -> pagerduty.EventsApiV2Client:
        if message.routing_key is None:
            client = pagerduty.EventsApiV2Client(
                SANDBOX_KEY,
                base_url=SANDBOX_URL,
                transport=httpx2.WSGITransport(self._sandbox.app),
                trust_env=False,
            )
        else:
            client = pagerduty.EventsApiV2Client(
                message.routing_key,
                base_url=self._events_url or EVENTS_URLS.get(message.region, EVENTS_URLS["us"]),
                verify=self._tls,
            )
        # Left alone, the client sleeps through a 429 for ever and three minutes through a 503.
        # Our outbox owns the waiting. The constructor ignores a timeout, so it is set here.
        client.timeout = self._timeout  # type: ignore[assignment]  # it says int, and takes both
        client.max_network_attempts = 0
        client.retry = {429: 1, 500: 0, 502: 0, 503: 0, 504: 0}
        client.max_http_attempts = -1
        return client

    def _explain(self, error: pagerduty.Error, message: Outgoing) -> Answer:
        name, response = _name(message), error.response
        if response is None:
            return _broken(error.__cause__, name)
        status = response.status_code
        retry_after = _seconds(response.headers.get("Retry-After"), self._clock())
        if status == 429:
            # It did not look at the event, and without a word on when to come back it means later.
            wait = 30.0 if retry_after is None else retry_after
            return Answer(Outcome.TRY_AGAIN, FULL, wait, may_have_arrived=False)
        if status in REFUSALS:
            reason = _reason(response, message.routing_key)
            return _answer(Outcome.REFUSED, f"{name} refuses it: {reason}")
        if status >= 500:
            sentence = f"{name} has trouble of its own ({status})."
        elif 200 <= status < 300:
            sentence = f"{name} did not answer; something in between did ({status})."
        else:
            sentence = f"{name} answered {status}, as a proxy or a wrong address would."
        return _answer(Outcome.TRY_AGAIN, sentence, retry_after)


def _answer(outcome: Outcome, sentence: str, retry_after: float | None = None) -> Answer:
    return Answer(outcome, sentence[0].upper() + sentence[1:], retry_after)


def _broken(cause: BaseException | None, name: str) -> Answer:
    match cause:
        case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            sentence = f"No connection to {name}: it did not answer in time."
        case httpx2.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            sentence = f"No connection to {name}: its certificate is not trusted here."
        case httpx2.ConnectError() | httpx2.ProxyError():
            sentence = f"No connection to {name}."
        case httpx2.TimeoutException():
            sentence = f"No answer from {name} in time."
        case _:
            sentence = f"The connection to {name} broke off before an answer came."
    return Answer(Outcome.TRY_AGAIN, sentence, may_have_arrived=not isinstance(cause, NEVER_LEFT))


def _name(message: Outgoing) -> str:
    return "PagerDuty" if message.routing_key else "the sandbox pager"


def _reason(response: httpx2.Response, routing_key: str | None) -> str:
    """PagerDuty's own words for a refusal, without the key that they may quote."""
    if response.status_code == 413:
        return "it is too large."
    try:
        body = response.json()
    except ValueError:
        body = None
    told = body if isinstance(body, dict) else {}
    errors = [str(error) for error in told.get("errors") or () if error]
    reason = "; ".join(errors) or str(told.get("message") or f"status {response.status_code}")
    for secret in filter(None, (routing_key, SANDBOX_KEY)):
        reason = re.sub(re.escape(secret), "(the key)", reason, flags=re.IGNORECASE)
    return f"{reason[:300].rstrip('.')}."


def _seconds(retry_after: str | None, at: datetime) -> float | None:
    """Retry-After in seconds, whether it says so or names a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        named = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((named.replace(tzinfo=named.tzinfo or UTC) - at).total_seconds(), 0.0)
