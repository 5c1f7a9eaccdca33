"""For each rule a text that breaks it, with the lines marked, and one that does not."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tests.unit.runbooks.lint.examples import GOOD, MARK, changed

PAGE = "# A page\n\nWords.\n"
FOREIGN = """\
# KubeApiDown

## Meaning
The API is down.

## Impact
Nobody can deploy.

## Diagnosis
Look at the pods.

## Mitigation
1. Restart it.
"""
LOOK = "drift report --model {{model}} --window {{window}}"
FREEZE = "deploy freeze {{model}}"


@dataclass(frozen=True)
class Case:
    rule: str
    bad: str  # with ¶ behind each line in which the rule finds something
    good: str = GOOD
    mended: str | None = None  # the bad one after its fixes; None: there are none
    around: dict[str, Any] = field(default_factory=dict)


def code(old: str, new: str) -> str:
    return changed((old, new))


def step(comment: str, *, above: str = "### Another step", below: str = "Do it.") -> str:
    """The good runbook with one more step, in the section Afterwards."""
    comment, mark, _ = comment.partition(MARK)
    text = f"## Afterwards\n\n{above}\n<!-- step {comment} -->{mark}\n{below}"
    return changed(("## Afterwards\nWrite the cause into the incident.", text))


CASES = (
    # Front matter
    Case(
        "RB01",
        PAGE.replace("# A page", "# A page ¶"),
        mended="---\nschema: runbook/1\nid: drift\n---\n\n" + PAGE,
    ),
    Case("RB01", "--- ¶\nid: drift\n\n# Never closed\n"),
    Case("RB01", changed(("owner: serving", "owner: serving: all ¶"))),
    Case("RB01", changed(("severity: sev3", "severity: bad ¶"))),
    Case(
        "RB01", changed(("owner: serving", "review_every: 90 days ¶"), ("review_every: 90d\n", ""))
    ),
    Case("RB01", changed(('  - {metric: feature_psi, op: ">", value: 0.25}', "  - {op: 2} ¶"))),
    Case("RB01", changed(('pattern: "^[a-z0-9-]+$"}', 'pattern: "^[a-z"} ¶'))),
    Case(
        "RB01",
        changed(("default: 1h,", "default: 2h,"), ("choices: [1h, 6h]}", "choices: [1h]} ¶")),
    ),
    Case(
        "RB01",
        changed(("escalate_to: model-owner", "escalate: model-owner ¶")),
        mended=changed(("escalate_to: model-owner", "escalate_to: model-owner")),
    ),
    Case(
        "RB01",
        changed(
            ("from: incident.model", "form: incident.model"), ('[a-z0-9-]+$"}', '[a-z0-9-]+$"} ¶')
        ),
    ),
    Case("RB01", changed(("kind=check minutes=2 -->", "kind=look minutes=2 --> ¶"))),
    Case(
        "RB01",
        changed(
            ("risk=low undo=thaw", "risk=huge undo=thaw"),
            ("undo=thaw minutes=1 -->", "undo=thaw minutes=1 --> ¶"),
        ),
    ),
    Case("RB01", step("id=x kind=check on-fail=look ¶")),
    Case(
        "RB01",
        changed(
            ("into the incident.", "into the incident.\n\n<!-- step id=stray kind=check --> ¶")
        ),
    ),
    Case(
        "RB01",
        changed(("schema: runbook/1\n", "")).replace("---\nid", "--- ¶\nid", 1),
        mended=changed(
            ("schema: runbook/1\n", ""),
            ("choices: [1h, 6h]}\n---", "choices: [1h, 6h]}\nschema: runbook/1\n---"),
        ),
    ),
    # Ids
    Case("RB02", changed(("id: drift\n", "id: drifting ¶\n")), mended=GOOD),
    Case(
        "RB02",
        changed(("id: drift\n", "")).replace("---\nschema", "--- ¶\nschema", 1),
        mended=changed(
            ("id: drift\n", ""), ("choices: [1h, 6h]}\n---", "choices: [1h, 6h]}\nid: drift\n---")
        ),
    ),
    Case("RB02", changed(("id: drift\n", "id: drift ¶\n")), around={"slugs": {"drift"}}, good=PAGE),
    Case("RB02", changed(("id: drift\n", "id: freshness ¶\n"))),
    Case(
        "RB02",
        step("id=look kind=check ¶"),
        mended=step("id=look-2 kind=check"),
    ),
    Case("RB02", step("id=Big_Step kind=check ¶"), mended=step("id=big-step kind=check")),
    Case("RB02", step("kind=check ¶"), mended=step("kind=check id=another-step")),
    Case(
        "RB02",
        step("id=old kind=check ¶"),
        around={"former_steps": {"old": "Something else"}},
        good=step("id=old kind=check", above="### Something  else"),
    ),
    # Sections
    Case(
        "RB03",
        changed(
            ("# Inputs have moved\n\n##", "# Inputs have moved ¶\n\n##"),
            ("escalate_to: model-owner\n", ""),
            ("## Stop and escalate if\n- 15 minutes have passed\n\n", ""),
        ),
        good=changed(("escalate_to: model-owner\n", "")),
        mended=changed(
            ("escalate_to: model-owner\n", ""),
            ("## Stop and escalate if\n- 15 minutes have passed\n\n", ""),
            ("choices: [1h, 6h]}\n---", "choices: [1h, 6h]}\nescalate_to: model-owner\n---"),
        ),
    ),
    Case(
        "RB04",
        FOREIGN.replace("KubeApiDown", "KubeApiDown ¶"),
        good=FOREIGN + "\n## Verification\nAsk it.\n",
    ),
    Case(
        "RB05",
        changed(
            ("risk=low undo=thaw minutes=1", "risk=high minutes=1"),
            ("risk=high minutes=1 -->", "risk=high minutes=1 --> ¶"),
            text=GOOD,
        ),
        mended=changed(
            ("risk=low undo=thaw minutes=1", "risk=high minutes=1 undo=undo-freeze"),
            (
                "**Expect:** all traffic is on the newest.\n",
                (
                    "**Expect:** all traffic is on the newest.\n\n"
                    "### Undo: freeze the model\n"
                    "<!-- step id=undo-freeze kind=action risk=high undo=freeze minutes=5 -->\n"
                    "TODO: the command that takes it back.\n\n"
                    "**Expect:** TODO: what shows that it is as before.\n"
                ),
            ),
        ),
    ),
    Case(
        "RB05",
        FOREIGN.replace("Restart it.", "Restart it. ¶"),
        good=FOREIGN + "\n## Rollback\nStop it.\n",
    ),
    Case(
        "RB05",
        "# A\n\n## Steps\n\n### Do it\n<!-- step id=do kind=action risk=low --> ¶\nNow.\n",
        good="# A\n\n## Steps\n\n### Do it\n<!-- step id=do kind=action risk=none -->\nNow.\n",
        mended="# A\n\n## Steps\n\n### Do it\n<!-- step id=do kind=action risk=low undo=undo-do -->\nNow.\n\n"
        "## Roll back\n\n### Undo: do it\n"
        "<!-- step id=undo-do kind=action risk=low undo=do minutes=5 -->\n"
        "TODO: the command that takes it back.\n\n"
        "**Expect:** TODO: what shows that it is as before.\n\n",
    ),
    Case(
        "RB06",
        changed(
            ("# Inputs have moved\n\n##", "# Inputs have moved ¶\n\n##"), ("## Impact", "## Notes")
        ),
    ),
    Case(
        "RB07",
        "# A ¶\n\n## Diagnosis\nLook at the pods.\n",
        good="# A\n\n## Mitigation\nRestart it.\n",
    ),
    Case("RB08", "# A ¶\n\n## Mitigation\nRestart it.\n", good="# A\n\n## Diagnosis\nLook.\n"),
    Case("RB09", "# A page ¶\n\nWords.\n", good=PAGE + "\n```bash\nls\n```\n"),
    # Commands
    Case("RB10", code(FREEZE, f"$ {FREEZE} ¶"), mended=GOOD),
    Case(
        "RB10",
        code(FREEZE, "user@host:~$ deploy list ¶\n$ deploy freeze {{model}}"),
        mended=code(FREEZE, "deploy list\n" + FREEZE),
    ),
    Case(
        "RB10",
        "1. Do\n\n   ```sh\n   $ ls \\ ¶\n       -l\n   $ pwd\n   ```\n".replace(
            "\\ ¶\n", "\\ ¶\n"
        ),
        good="1. Do\n\n   ```console\n   $ ls\n   ```\n",
        mended="1. Do\n\n   ```sh\n   ls \\\n       -l\n   pwd\n   ```\n",
    ),
    Case(
        "RB10",
        "```bash\n$ ls ¶\nfile\n$ pwd\n/home\n```\n",
        good="```console\n$ ls\nfile\n```\n",
        mended="```console\n$ ls\nfile\n$ pwd\n/home\n```\n",
    ),
    Case(
        "RB10",
        code(FREEZE, "[root@node-1 ~]# deploy freeze {{model}} ¶"),
        good=code(FREEZE, "[ -f x ] # deploy freeze {{model}}"),
        mended=GOOD,
    ),
    Case(
        "RB11",
        code(FREEZE, "deploy freeze <model-name> ¶"),
        mended=code(FREEZE, "deploy freeze {{model_name}}"),
    ),
    Case(
        "RB11",
        code(FREEZE, "deploy freeze <Model> YOUR_TEAM ¶"),
        mended=code(FREEZE, "deploy freeze {{model}} {{your_team}}"),
    ),
    Case(
        "RB11",
        code(FREEZE, "kubectl get pod REPLACE_ME ¶"),
        good=code(FREEZE, "cat <in >out\ncat <<EOF\nEOF\ncurl -d '<a>1</a>' x"),
        mended=code(FREEZE, "kubectl get pod {{replace_me}}"),
    ),
    Case(
        "RB12",
        changed(("```bash\ndeploy freeze", "``` ¶\ndeploy freeze"), (FREEZE, "kubectl get pods")),
        mended=code(FREEZE, "kubectl get pods"),
    ),
    Case(
        "RB12",
        changed(
            ("```bash {name=look}", "``` {name=look} ¶"), (LOOK, '{"a": "{{model}}{{window}}"}')
        ),
        mended=changed(
            ("```bash {name=look}", "```json {name=look}"), (LOOK, '{"a": "{{model}}{{window}}"}')
        ),
    ),
    Case(
        "RB12",
        "~~~ ¶\nselect a from b\n~~~\n\n``` ¶\nsum by (x) (up)\n```\n\n``` ¶\nkey: 1\nother: 2\n```\n\n``` ¶\nhello\n```\n",
        mended="~~~sql\nselect a from b\n~~~\n\n```promql\nsum by (x) (up)\n```\n\n```yaml\nkey: 1\nother: 2\n```\n\n```text\nhello\n```\n",
    ),
    Case(
        "RB16",
        "```bash\n$ kubectl get pods\nNAME   READY ¶\nweb-1  1/1\n```\n",
        good="```bash\n$ kubectl apply -f - <<EOF\nname: x\nEOF\n$ echo 'a\nb'\n# done\n```\n",
        mended="```bash\n$ kubectl get pods\n```\n\n```text\nNAME   READY\nweb-1  1/1\n```\n",
    ),
    Case("RB16", "- Do\n  ```console\n  $ ls\n  a ¶\n  $ pwd\n  ```\n"),
    Case(
        "RB16",
        '=== "A"\n\n    ```bash\n    $ ls\n    a ¶\n    ```\n',
        good='=== "A"\n\n    ```bash\n    $ ls\n    ```\n',
        mended='=== "A"\n\n    ```bash\n    $ ls\n    ```\n\n    ```text\n    a\n    ```\n',
    ),
    Case(
        "RB17",
        code(FREEZE, "kubectl -n x delete pod/{{model}} ¶"),
        mended=changed(
            (FREEZE, "kubectl -n x delete pod/{{model}}"),
            ("id=freeze kind=action risk=low", "id=freeze kind=action risk=high"),
        ),
        good=code(
            FREEZE,
            "kubectl -n x delete pod/{{model}} --dry-run=client\nkubectl auth can-i delete pods\n# rm -rf /",
        ),
    ),
    Case(
        "RB17",
        "```sql\nSELECT 1;\nDELETE FROM a; ¶\n```\n",
        good="```sql\nDELETE FROM a WHERE b = 1;\n```\n",
    ),
    Case(
        "RB17",
        '=== "A"\n\n    ```bash\n    ls\n    rm -rf /a ¶\n    ```\n\n1.  Do\n\n'
        "    !!! note\n        Now\n\n        ```sh\n        oc delete pod a ¶\n        ```\n",
        good='=== "A"\n\n    ```yaml\n    run: rm -rf /a\n    ```\n\n```bash\nls\n```\n',
    ),
    Case(
        "RB18",
        "```bash\nls\nterraform destroy ¶\n```\n",
        good="Careful: this can't be undone.\n\n```bash\nterraform destroy\n```\n",
    ),
    Case("RB19", changed(("### Look at the drift", "#### Look at the drift ¶"))),
    Case("RB19", changed(("## Impact", "# Impact ¶"))),
    Case("RB19", changed(("### Undo: thaw it", "### Freeze the Model ¶"))),
    Case(
        "RB22",
        "# A\n\n```bash ¶\nls\n\n## More\n",
        good="```bash\nls\n```\n\n> ~~~~text\n> ls\n> ~~~~~\n",
    ),
    # Links
    Case(
        "RB13",
        changed(("Write the cause", "See [it](http://example.com/a). ¶\nWrite the cause")),
        mended=changed(("Write the cause", "See [it](https://example.com/a).\nWrite the cause")),
        good=changed(
            (
                "Write the cause",
                "See http://localhost:9090 and <http://prometheus.monitoring.svc/x>.\nWrite the cause",
            )
        ),
    ),
    Case(
        "RB13",
        changed(
            ("Write the cause", "A line.\nhttps://docs.google.com/document/d/1 ¶\nWrite the cause")
        ),
    ),
    Case(
        "RB14",
        changed(("use [latency](latency.md).", "use [latency](latencies.md). ¶")),
        around={"slugs": {"latency"}},
        mended=GOOD,
    ),
    Case(
        "RB14",
        changed(("use [latency](latency.md).", "use [latency](latency.md). ¶")),
        around={"slugs": {"other"}},
        good=PAGE,
    ),
    Case(
        "RB14",
        changed(("[the picture](img/drift.png).", "![it](img/gone.png?x#y). ¶")),
        around={"files": {"img/drift.png", "latency.md"}},
    ),
    Case("RB21", changed(("Then [Verify](#verify).", "Then [Verify](#verfy). ¶")), mended=GOOD),
    Case(
        "RB21",
        changed(("Then [Verify](#verify).", "Then [Verify](#elsewhere). ¶")),
        good=changed(("[Verify](#verify)", "[Verify](#Verify)")),
    ),
    Case("RB21", changed(("[go: freeze](#freeze)", "[go: freeze](#freezer) ¶")), mended=GOOD),
    Case(
        "RB21",
        changed(("[go: roll back](#roll-back-model)", "[go: roll back](#roll-back) ¶")),
        mended=GOOD,
    ),
    Case(
        "RB21",
        changed(
            (
                "id=freeze kind=action risk=low undo=thaw minutes=1 -->",
                "id=freeze kind=action risk=low undo=thawe minutes=1 --> ¶",
            )
        ),
        mended=GOOD,
    ),
    Case("RB21", step("id=x kind=check on_fail=nowhere-at-all ¶")),
    # Words
    Case(
        "RB20",
        changed(
            ("owner: serving", "owner: TBD ¶"),
            ("Scores are worse", "TODO: who? ¶\nScores are worse"),
        ),
    ),
    Case("RB20", changed(("Write the cause", "<!-- conflict: yours --> ¶\n\nWrite the cause"))),
    Case(
        "RB20",
        changed(
            ("Write the cause", "<<<<<<< yours ¶\nWrite the cause"),
            ("into the incident.", "into the incident.\n>>>>>>> theirs ¶"),
        ),
        good=changed(("Write the cause", "Add it to the todo list")),
    ),
    Case(
        "RB23",
        code(FREEZE, "export AWS_ACCESS_KEY_ID=AKIA" + "Q3EGZ7XK2LMNOPQR ¶"),
        good=code(
            FREEZE,
            'curl -H "Authorization: Bearer $TOKEN" x?token={{model}}\nexport PASSWORD=changeme-please-now1',
        ),
    ),
    Case("RB23", code(FREEZE, "psql postgres://baton:s3cr3t" + "P4ss@db/x ¶")),
    Case(
        "RB23",
        changed(
            (
                "Write the cause",
                "The api_key: 9f86d081884c7d65" + "9a2feaa0c55ad015 ¶\nWrite the cause",
            )
        ),
        good=changed(
            (
                "Write the cause",
                "The token is in the vault at secret/team-reco/baton-2024/api\nWrite the cause",
            )
        ),
    ),
    Case("RB31", changed(("| psi | 0.1 |", "| psi | 0.1 | 2 | ¶\n| alone | ¶\n| a \\| b | 1 |"))),
    Case("RB31", changed(("|---|---|", "|---|---|---| ¶"))),
    Case(
        "RB32",
        changed(("Scores are worse", "Scores \u202eare\u202c worse ¶\nScores are worse")),
        mended=changed(("Scores are worse", "Scores are worse\nScores are worse")),
    ),
    Case(
        "RB32",
        changed(("Write the cause", '<span class="x">Write</span> ¶\nWrite the cause')),
        good=changed(
            ("Write the cause", "Ask <namespace>, <br> and <b>wait</b>.\nWrite the cause")
        ),
    ),
    Case("RB32", changed(("Write the cause", '<b onclick="x()">Write</b> ¶\nWrite the cause'))),
    # Variables
    Case(
        "RB24",
        changed((LOOK, "drift report --model {{modell}} --window {{window}} ¶")),
        mended=GOOD,
    ),
    Case(
        "RB24",
        changed((LOOK, LOOK + " {{pod}} ¶"), ("Write the cause", "On {{node}} ¶\nWrite the cause")),
        mended=changed(
            (LOOK, LOOK + " {{pod}}"),
            ("Write the cause", "On {{node}}\nWrite the cause"),
            (
                "choices: [1h, 6h]}\n",
                (
                    "choices: [1h, 6h]}\n"
                    '  - {name: pod, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$", required: true}\n'
                    '  - {name: node, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$", required: true}\n'
                ),
            ),
        ),
    ),
    Case(
        "RB24",
        "---\nid: drift\n---\n\nIn {{pod}}. ¶\n",
        mended="---\nid: drift\nvariables:\n"
        '  - {name: pod, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$", required: true}\n---\n\nIn {{pod}}.\n',
        good="---\nvariables: [pod]\n---\n\nIn {{pod}}.\n",
    ),
    Case(
        "RB24",
        changed(("choices: [1h, 6h]}\n", "choices: [1h, 6h]}\n  - {name: spare, default: x} ¶\n")),
        mended=GOOD,
    ),
    Case("RB24", changed((', pattern: "^[a-z0-9-]+$"}', "} ¶"))),
    # Steps
    Case(
        "RB25",
        changed(
            ("**Expect:** `frozen: false`.\n", ""),
            (
                "id=thaw kind=action risk=low undo=freeze minutes=1 -->",
                "id=thaw kind=action risk=low undo=freeze minutes=1 --> ¶",
            ),
        ),
    ),
    Case(
        "RB25",
        changed(("**Expect:** `frozen: false`.", "```sh ¶\nls\n```\n**Expect:** `frozen: false`.")),
        good=changed(
            ("**Expect:** `frozen: false`.", "```json\n{}\n```\n**Expect:** `frozen: false`.")
        ),
    ),
    Case(
        "RB26",
        changed(("  - {alertname: InputDrift}", "  - {alertname: InputDrift} ¶")),
        around={"alertnames": {"inputsdrift"}},
        good=PAGE,
    ),
    Case(
        "RB26",
        changed(("value: 0.25}", "value: 0.25} ¶")),
        around={"metrics": {"psi"}, "alertnames": {"inputdrift"}},
        good=PAGE,
    ),
    Case(
        "RB27",
        changed(("owner: serving", "owner: serving ¶")),
        around={"people_of_teams": {"serving": 0}},
        good=PAGE,
    ),
    Case(
        "RB27",
        changed(("owner: serving", "owner: serving ¶")),
        around={"people_of_teams": {"servings": 2}},
        good=PAGE,
    ),
    Case(
        "RB28",
        changed(("review_every: 90d", "review_every: 90d ¶")),
        around={"today": date(2026, 5, 1), "last_verified": date(2026, 1, 1)},
        good=changed(("review_every: 90d", "review_every: 90d\nlast_verified: 2026-04-01")),
    ),
    Case(
        "RB28",
        changed(("review_every: 90d", "review_every: 90d ¶")),
        around={"today": date(2026, 5, 1), "first_published": date(2026, 1, 1)},
        good=changed(("review_every: 90d", "review_every: 200d")),
    ),
    Case(
        "RB28",
        changed(("Write the cause", "<!-- expires 2026-05-14 --> ¶\nWrite the cause")),
        around={"today": date(2026, 5, 1)},
        good=changed(("Write the cause", "<!-- expires 2026-05-15 -->\nWrite the cause")),
    ),
    Case(
        "RB29",
        changed(
            ("→ [go: freeze](#freeze)", "→ [go: roll back](#roll-back-model)"),
            ("undo=freeze minutes=1", "minutes=1"),
            ("undo=thaw minutes=1 -->", "undo=thaw minutes=1 --> ¶"),
        ),
    ),
    Case(
        "RB29",
        changed(
            ("- **One feature** → [go: freeze](#freeze)", "- **One feature** → freeze ¶"),
        ),
    ),
    Case("RB29", step("id=x kind=decision ¶", below="Think.")),
    Case(
        "RB29",
        "# A\n\n## Steps\n\n### Look\n<!-- step id=look kind=check -->\nLook.\n\n"
        "### Which?\n<!-- step id=which kind=decision --> ¶\n- **One** → [go: look](#look)\n- **Two** → [go: again](#which)\n",
        good="# A\n\n## Steps\n\n### Look\n<!-- step id=look kind=check -->\nLook.\n\n"
        "### Which?\n<!-- step id=which kind=decision -->\n- **One** → [go: look](#look)\n- **Two** → [go: other](other.md)\n",
    ),
    Case(
        "RB30",
        changed(("# Inputs have moved\n\n##", "# Inputs have moved ¶\n\n##")),
        around={"live_step_ids": {"gone", "look"}},
        good=step("id=gone kind=check"),
    ),
    Case(
        "RB33",
        step("id=x kind=action risk=none", below="Fix the issue as appropriate. ¶"),
        good=step("id=x kind=action risk=none", below="Fix the issue with `deploy fix`."),
    ),
    # Together
    Case("RB15", changed(("Write the cause", "word " * 1200 + "¶\nWrite the cause"))),
    Case(
        "RB15",
        "## Steps\n" + "".join(f"{n}. Do {n}\n" for n in range(1, 10)) + "10. Do 10 ¶\n",
        good="## Steps\n" + "".join(f"{n}. Do {n}\n" for n in range(1, 10)),
    ),
    Case(
        "RB34",
        changed(
            ("severity: sev3", "severity: sev1"),
            ("## Impact", "## Impact ¶"),
            ("Scores are worse for some.", "Nobody notices."),
        ),
    ),
    Case(
        "RB34",
        changed(("## Impact", "## Impact ¶"), ("Scores are worse for some.", "A complete outage.")),
    ),
    Case(
        "RB34",
        changed(
            ("## Impact", "## Impact ¶"),
            ("severity: sev3\n", ""),
            ("The alert fires.", "The service is down."),
            ("Scores are worse for some.", "Nothing is down."),
        ),
    ),
)
