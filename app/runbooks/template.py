"""The text that a new runbook starts from.

What its author has to write is marked with TODO, which the lint reports as an error: a template
that nobody filled in can't be published.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.runbooks.front_matter import SCHEMA

PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 _./-]*[A-Za-z0-9])?")
NO_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})

TEXT = """\
---
schema: {schema}
id: {slug}
title: {title}
{failure_mode}severity: sev3
applies_to: {{models: [{models}]}}
signals:
  - {signal}
owner:{owner}
escalate_to:{escalate_to}
escalate_after: 15m
est_minutes: 15
review_every: 90d
variables:
  - {{name: model, from: incident.model, pattern: "^[a-z0-9-]+$", required: true}}
---

# {heading}

## When to use
{when}
Not this: TODO: what looks alike, and which runbook that has.

## Impact
TODO: who notices what, and what is safe.

## Stop and escalate if
- 15 minutes have passed without a confirmed cause

## Steps

### Confirm the alert is real
<!-- step id=confirm kind=check minutes=2 -->
{check}
```bash {{name=look}}
echo "TODO: a command for {{{{model}}}} that changes nothing"
```
**Expect:** TODO: what a real alert shows here.

### What is the cause?
<!-- step id=cause kind=decision -->
- **The newest version is at fault** → [go: roll back](#roll-back)
- **Something else changed** → [go: take it out of the way](#mitigate)

### Take it out of the way
<!-- step id=mitigate kind=action risk=low minutes=5 undo=undo-mitigate -->
{act}

**Expect:** TODO: what success looks like, and after how long.

## Roll back

### Return to the last good state
<!-- step id=roll-back kind=action risk=high minutes=5 undo=undo-roll-back confirm="type the model name" -->
TODO: the command.

**Expect:** TODO: what success looks like, and after how long.

### Undo: return to the newest version
<!-- step id=undo-roll-back kind=action risk=high minutes=5 undo=roll-back confirm="type the model name" -->
TODO: the command that takes the step above back.

**Expect:** TODO: what success looks like.

### Undo: put it back
<!-- step id=undo-mitigate kind=action risk=low minutes=5 undo=mitigate -->
TODO: how the mitigation is taken back.

**Expect:** TODO: what success looks like.

## Verify
- [ ] {verify} <!-- step id=verify-cause kind=verify minutes=15 -->
- [ ] The alert has stopped <!-- step id=verify-alert kind=verify minutes=15 -->

## Afterwards
Write the cause into the incident, and what would have found it sooner.
"""


@dataclass(frozen=True, slots=True)
class Hints:
    """What is usual for a failure mode: a beginning for whoever writes the runbook."""

    when: str
    check: str
    act: str
    verify: str


ANY = Hints(
    when="TODO: what it means when this alert fires, in one sentence.",
    check="TODO: where to look.",
    act="TODO: what limits the harm while the cause is looked for.",
    verify="TODO: the reading that was wrong is back inside its limit",
)
HINTS: dict[str, Hints] = {
    "input_drift": Hints(
        "The inputs differ from those of training: PSI above 0.25 over 1,000 rows at least.",
        "One feature or many? Did it begin in the minute of a deploy or a campaign?",
        "TODO: serve the last good values of that feature, or its default.",
        "PSI is under 0.1 for two windows",
    ),
    "output_drift": Hints(
        "The scores, or the mix of what is served, moved away from the baseline.",
        "See whether the inputs moved first, and ask the version before for the same requests.",
        "TODO: serve by rule, or from the version before.",
        "The scores overlap with the baseline again",
    ),
    "latency_regression": Hints(
        "p99 is above its limit.",
        "Which stage is slow: network, features, model or what comes after?",
        "TODO: add replicas, or ask less of the model.",
        "p99 is inside its limit for 15 minutes",
    ),
    "feature_stale": Hints(
        "Values of a feature are older than they may be.",
        "Which view, since when? Did the job fail, or is its source late?",
        "TODO: serve defaults, or do without the feature.",
        "The newest value is younger than its limit",
    ),
    "schema_break": Hints(
        "Inputs no longer have the agreed fields or types, and are rejected or read as empty.",
        "Hold the contract against what arrives. Who deployed last?",
        "TODO: set the bad part aside, and stop what writes it.",
        "No input is rejected",
    ),
    "provider_degraded": Hints(
        "A provider that the model needs answers slowly, wrongly or not at all.",
        "What does its status page say? Is it our quota? One region or all?",
        "TODO: go over to the second provider, or to kept answers.",
        "The probes pass, and errors are under 1%",
    ),
    "cold_start_users": Hints(
        "Far more users than usual have no history, and get the fallback.",
        "A campaign, a wave of bots, or do known users lose their identity?",
        "TODO: popular items by region, and a filter for bots.",
        "New users click as much as with the fallback before",
    ),
    "replica_cold_start": Hints(
        "New replicas take requests before the model is warm.",
        "Are new replicas loading the model, or compiling it?",
        "TODO: keep more replicas, and pause the rollout.",
        "Adding a replica shows no peak in p99",
    ),
    "feedback_loop": Hints(
        "The model learns from what it showed: fewer and fewer items get all the exposure.",
        "Compare with the users who are held out. Is exploration still running?",
        "TODO: bring the share of exploration back, and limit the exposure of each item.",
        "Coverage is back in its band for two days",
    ),
    "train_serve_skew": Hints(
        "Features are computed differently when serving than in training.",
        "Compute the features of logged requests again offline, and compare each.",
        "TODO: go back to the transformation that both shared.",
        "Fewer than 0.1% of values differ",
    ),
    "bad_model_push": Hints(
        "Quality or latency fell at the moment a version went out.",
        "Which version does each replica serve? Is it code, settings, features or weights?",
        "TODO: stop the rollout.",
        "Every replica reports the version before",
    ),
    "cache_stampede": Hints(
        "Many entries of the cache are gone at once, and the origin gets their load.",
        "A flush, a deploy, or did they all expire together? Is one key hot?",
        "TODO: serve old entries while new ones are made, and shed load.",
        "The hit rate is at its usual level",
    ),
    "index_corrupt": Hints(
        "The index returns wrong, few or no neighbours.",
        "Ask the golden queries. Compare build, count and dimension.",
        "TODO: point the alias to the index before.",
        "Recall on the golden queries is within 1 point of the baseline",
    ),
    "traffic_over_target": Hints(
        "There is more traffic than the model was tested for.",
        "Is it real, a storm of retries, or bots? Where from?",
        "TODO: limit by class, and turn retries off.",
        "p99 of what is accepted is inside its limit",
    ),
    "experiment_srm": Hints(
        "The groups of an experiment are not of the size that was assigned.",
        "Compare by browser, version and region. Does a filter come after the assignment?",
        "TODO: stop reading the result, and tell those who decide by it.",
        "A comparison of equals is balanced for a day",
    ),
    "access_revoked": Hints(
        "The model may no longer read what it needs.",
        "Whose identity is refused, and since which rotation or policy?",
        "TODO: serve from the last snapshot. Bypass nothing.",
        "The serving identity can read again",
    ),
    "cost_runaway": Hints(
        "An hour costs far more than the same hour last week.",
        "Which model, customer or job? A loop, retries, or a job that was forgotten?",
        "TODO: cap the quota, or end the job.",
        "The cost of an hour is back in its band",
    ),
    "fallback_stuck": Hints(
        "The fallback answers though the model could.",
        "Why did the breaker open? Does the model answer a probe?",
        "TODO: let a hundredth of the traffic back, then more.",
        "More than 99% of answers come from the model",
    ),
    "monitoring_blind": Hints(
        "Readings are missing or frozen, so nobody can say how the model does.",
        "Is it the model or what measures it? Send one request and follow it.",
        "TODO: watch another reading meanwhile, and stop rollouts.",
        "A request that was sent by hand shows up within 5 minutes",
    ),
    "unsafe_or_ineligible_output": Hints(
        "The model shows what it must not.",
        "Keep the evidence. How many users saw it? How old is the list of what is blocked?",
        "TODO: switch to the safe list.",
        "The golden set of forbidden items gets no hit",
    ),
}  # fmt: skip


def for_alert(alertname: str, slug: str) -> str:
    """A runbook with every section, and the alert as its signal."""
    title = slug.replace("-", " ").capitalize()
    when = f"`{alertname}` fires. TODO: what it means, in one sentence."
    hints = Hints(when, ANY.check, ANY.act, ANY.verify)
    return _filled(slug, title, hints, alertname=alertname)


def for_failure_mode(
    failure_mode: str, *, slug: str, title: str, owner: str = "", models: Sequence[str] = ("*",)
) -> str:
    """A runbook for a failure mode, with what is usual for it filled in."""
    hints = HINTS.get(failure_mode, ANY)
    return _filled(slug, title, hints, failure_mode=failure_mode, owner=owner, models=models)


def _filled(
    slug: str,
    title: str,
    hints: Hints,
    *,
    alertname: str = "TODO",
    failure_mode: str = "",
    owner: str = "",
    models: Sequence[str] = ("*",),
) -> str:
    return TEXT.format(
        schema=SCHEMA,
        slug=slug,
        title=_yaml(title),
        heading=" ".join(title.split()),
        failure_mode=f"failure_mode: {failure_mode}\n" if failure_mode else "",
        models=", ".join(map(_yaml, models)),
        signal=f"{{alertname: {_yaml(alertname)}}}",
        owner=f" {_yaml(owner)}" if owner else "",
        escalate_to=" model-owner" if owner else "",
        when=hints.when,
        check=hints.check,
        act=hints.act,
        verify=hints.verify,
    )


def _yaml(said: str) -> str:
    """Words as YAML holds them, in quotes unless they are plain: its strings include JSON's."""
    words = " ".join(said.split())
    if PLAIN.fullmatch(words) and words.lower() not in NO_WORDS:
        return words
    return json.dumps(words, ensure_ascii=False)
