"""A runbook in which lint finds nothing, and ways to spoil it."""

from app.runbooks.lint import Finding, Surroundings, apply, lint

GOOD = """\
---
schema: runbook/1
id: drift
title: Inputs have moved
severity: sev3
signals:
  - {alertname: InputDrift}
  - {metric: feature_psi, op: ">", value: 0.25}
owner: serving
escalate_to: model-owner
review_every: 90d
variables:
  - {name: model, from: incident.model, pattern: "^[a-z0-9-]+$"}
  - {name: window, default: 1h, choices: [1h, 6h]}
---

# Inputs have moved

## When to use
The alert fires. Not this: the model is late: use [latency](latency.md).

## Impact
Scores are worse for some. Details are in [the picture](img/drift.png).

## Stop and escalate if
- 15 minutes have passed

## Steps

### Look at the drift
<!-- step id=look kind=check minutes=2 -->
```bash {name=look}
drift report --model {{model}} --window {{window}}
```
**Expect:** fewer than 3 features above 0.25.

### What has moved?
<!-- step id=what kind=decision -->
- **One feature** → [go: freeze](#freeze)
- **All of them** → [go: roll back](#roll-back-model)

### Freeze the model
<!-- step id=freeze kind=action risk=low undo=thaw minutes=1 -->
```bash
deploy freeze {{model}}
```
**Expect:** `frozen: true`. Then [Verify](#verify).

## Roll back

### Go back to the last good version
<!-- step id=roll-back-model kind=action risk=high undo=forth minutes=5 confirm="type the name" -->
```bash
deploy route {{model}} --to last-good
```
**Expect:** all traffic is on it.

### Undo: thaw it
<!-- step id=thaw kind=action risk=low undo=freeze minutes=1 -->
```bash
deploy thaw {{model}}
```
**Expect:** `frozen: false`.

### Undo: go forth again
<!-- step id=forth kind=action risk=high undo=roll-back-model minutes=5 confirm="type the name" -->
```bash
deploy route {{model}} --to newest
```
**Expect:** all traffic is on the newest.

## Verify
- [ ] The drift is below 0.1 <!-- step id=verify-drift kind=verify minutes=15 -->

| Reading | Limit |
|---|---|
| psi | 0.1 |

## Afterwards
Write the cause into the incident.
"""

MARK = " ¶"  # stands in the lines in which a finding is expected


def changed(*pairs: tuple[str, str], text: str = GOOD) -> str:
    """The good runbook with passages replaced."""
    for old, new in pairs:
        assert text.count(old) == 1, f"{text.count(old)} times: {old}"
        text = text.replace(old, new)
    return text


def unmarked(text: str) -> tuple[str, list[int]]:
    """A text without its marks, and the lines that had one."""
    lines = text.split("\n")
    marked = [number for number, line in enumerate(lines, start=1) if line.endswith(MARK)]
    return "\n".join(line.removesuffix(MARK) for line in lines), marked


def findings(text: str, rule: str = "", slug: str = "drift", **around: object) -> list[Finding]:
    """What a rule finds; without one, what all find."""
    found = lint(text.encode(), slug=slug, surroundings=Surroundings(**around))  # type: ignore[arg-type]  # by name
    return [one for one in found if rule in ("", one.rule)]


def mended(text: str, found: list[Finding]) -> str:
    """The text with all the fixes of some findings made."""
    return apply(text.encode(), [one.fix for one in found if one.fix]).decode()
