"""The text that a new runbook starts from."""

from app.runbooks.front_matter import SCHEMA

TEXT = """\
---
schema: {schema}
id: {slug}
title: {title}
severity: sev3
applies_to: {{models: ["*"]}}
signals:
  - {{alertname: "{alertname}"}}
owner:
escalate_to:
escalate_after: 15m
est_minutes: 15
review_every: 90d
variables:
  - {{name: model, from: incident.model, pattern: "^[a-z0-9-]+$", required: true}}
---

# {title}

## When to use
`{alertname}` fires. Write what it means in one sentence.
Not this: write what looks alike, and which runbook that has.

## Impact
Write who notices what, and what is safe.

## Stop and escalate if
- 15 minutes have passed without a confirmed cause

## Steps

### Confirm the alert is real
<!-- step id=confirm kind=check minutes=2 -->
Write where to look, with a command that changes nothing.

**Expect:** write what a real alert shows here.

### What is the cause?
<!-- step id=cause kind=decision -->
- **The newest version is at fault** → [go: roll back](#roll-back)

## Roll back

### Return to the last good state
<!-- step id=roll-back kind=action risk=high minutes=5 undo=undo-roll-back confirm="type the model name" -->
Write the command.

**Expect:** write what success looks like, and after how long.

### Undo: return to the newest version
<!-- step id=undo-roll-back kind=action risk=high minutes=5 confirm="type the model name" -->
Write the command that takes the step above back.

**Expect:** write what success looks like.

## Verify
- [ ] The alert has stopped <!-- step id=verify-alert kind=verify minutes=15 -->

## Afterwards
Write the cause into the incident, and what would have found it sooner.
"""


def for_alert(alertname: str, slug: str) -> str:
    """A runbook with every section, and the alert as its signal."""
    title = slug.replace("-", " ").capitalize()
    return TEXT.format(schema=SCHEMA, slug=slug, title=title, alertname=alertname)
