"""A runbook with a step of each kind, and publishing one."""

from datetime import datetime

from app.core.db import unit_of_work
from app.people.rules import BATON
from app.runbooks import service
from app.runbooks.rules import Status
from app.runbooks.tables import RunbookVersion

LATENCY = """\
---
schema: runbook/1
id: latency
title: Latency is high
failure_mode: latency_regression
severity: sev2
owner: serving
escalate_to: model-owner
escalate_after: 20m
signals:
  - {alertname: FollowMe}
variables:
  - {name: model, from: incident.model, pattern: "^[a-z0-9-]+$", required: true}
  - {name: cluster, from: alert.cluster, pattern: "^[a-z0-9-]+$", required: true}
---

# Latency is high

## When to use
p99 is above its limit.

## Impact
Requests are late.

## Stop and escalate if
Errors go above 1%.

## Steps

### Confirm the breach
<!-- step id=confirm kind=check minutes=2 -->
Reads only.
```bash {name=p99}
$ promtool query {{cluster}} {{model}}
```
**Expect:** one number above the limit.

### Which is it?
<!-- step id=which kind=decision -->
- **A new version is slow** → [go: roll back](#back)
- **Replicas are full** → [go: add replicas](#scale)

### Add replicas
<!-- step id=scale kind=action risk=low minutes=4 -->
```bash {name=scale}
kubectl scale deployment/{{model}} --replicas=12
```
**Expect:** `scaled`.

## Roll back

### Go back to the last good version
<!-- step id=back kind=action risk=high undo=again minutes=5 -->
Puts every replica back.
```bash {name=undo}
kubectl rollout undo deployment/{{model}}
```
**Expect:** `rolled back`.

### Undo: return to the newest version
<!-- step id=again kind=action risk=low minutes=5 -->
Only when it got worse.

## Verify

### p99 is inside its limit for 15 minutes
<!-- step id=soak kind=verify minutes=15 until="p99 below its limit for 15 min" on_fail=which -->

## Afterwards

### Write down the cause
<!-- step id=write-down kind=action risk=none -->
"""


def with_steps(count: int, alertname: str) -> str:
    """A runbook of so many checks and nothing else, for alerts of that name."""
    steps = "\n".join(
        f"### Look at number {number}\n<!-- step id=look-{number} kind=check -->\nLook.\n"
        for number in range(1, count + 1)
    )
    return (
        f"---\nschema: runbook/1\nid: checks\ntitle: Many checks\nfailure_mode: many_checks\n"
        f"signals:\n  - {{alertname: {alertname}}}\n---\n\n# Many checks\n\n## Steps\n\n{steps}"
    )


def publish(text: str = LATENCY, *, slug: str = "latency", at: datetime) -> RunbookVersion:
    """Publish the text as the next version of a runbook."""
    found = service.read_text(slug, text.encode(), {"kind": "browser"}, "For a test")
    with unit_of_work() as session:
        service.lock(session)
        version = service.write_version(session, found, by=BATON, at=at)
        service.move(session, [(found, version, Status.PUBLISHED)], by=BATON, at=at)
    return version
