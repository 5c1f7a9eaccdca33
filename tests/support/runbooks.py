"""Runbooks for tests of writing and reviewing them."""

from datetime import datetime

from app.core.db import unit_of_work
from app.people.rules import BATON, Actor
from app.people.tables import User
from app.runbooks import service
from app.runbooks.rules import Status
from app.runbooks.tables import RunbookVersion
from tests.support.factories import NOON


def actor(person: User) -> Actor:
    return Actor("person", person.id, person.name)


def latency(text: str = "Look at p99.", *, severity: str = "sev3", back: str = "undo") -> str:
    """A sound runbook: `text` stands in a step that changes nothing, `back` in a risky one."""
    return f"""\
---
schema: runbook/1
id: latency
title: Latency is high
failure_mode: latency_regression
severity: {severity}
owner: serving
escalate_to: model-owner
escalate_after: 20m
est_minutes: 10
review_every: 90d
signals:
  - {{alertname: RecsysHomeP99High}}
variables:
  - {{name: model, from: incident.model, pattern: "^[a-z0-9-]+$", required: true}}
---

# Latency is high

## When to use
p99 is above its limit.

## Impact
Answers are slow.

## Stop and escalate if
- 15 minutes have passed without a confirmed cause

## Steps

### Look
<!-- step id=look kind=check minutes=2 -->
{text}
```bash {{name=pods}}
kubectl get pods -l app={{{{model}}}}
```
**Expect:** every pod is `Running`.

### Which is it?
<!-- step id=which kind=decision -->
- **The newest version** → [go: roll back](#back)
- **Something else** → [go: look again](#look)

## Roll back

### Go back
<!-- step id=back kind=action risk=high minutes=5 undo=forth confirm="type the model name" -->
```bash {{name=undo}}
kubectl rollout {back} deployment/{{{{model}}}}
```
**Expect:** `rolled back`.

### Undo: go forth
<!-- step id=forth kind=action risk=high minutes=5 undo=back confirm="type the model name" -->
```bash {{name=redo}}
kubectl rollout undo deployment/{{{{model}}}}
```
**Expect:** `rolled back`.

## Verify
- [ ] p99 is inside its limit <!-- step id=verify-p99 kind=verify minutes=15 -->

## Afterwards
Write the cause into the incident.
"""


def foreign(number: int) -> str:
    """A file as monitoring projects write them: five steps, a table, no front matter."""
    steps = "".join(
        f"{step}. Look at `thing-{step}` of <namespace>:\n\n"
        "   ```console\n   $ kubectl get pods -n <namespace>\n   NAME  READY\n   ```\n\n"
        for step in range(1, 6)
    )
    return (
        f"# Alert{number}\n\n## Meaning\n\nSomething [is](other.md) wrong.\n\n## Impact\n\nAll.\n\n"
        f"## Diagnosis\n\n{steps}\n## Mitigation\n\n- If a then b\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n"
    )


def published(
    text: str | None = None, *, slug: str = "latency", by: Actor = BATON, at: datetime = NOON
) -> RunbookVersion:
    """A version that is published, as an import makes it."""
    found = service.read_text(
        slug, (text or latency()).encode(), {"kind": "folder", "path": f"{slug}.md"}, "From a file"
    )
    with unit_of_work() as session:
        version = service.write_version(session, found, by=by, at=at)
        service.move(session, [(found, version, Status.PUBLISHED)], by=by, at=at)
    return version
