"""Service levels as a file of OpenSLO v1, which means the same when it is read again."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from app.health import openslo_queries as texts
from app.health.counting import KEPT
from app.health.openslo import OWN, TYPE_NAMES, VERSION
from app.health.tables import HealthSource, Slo


def write(model: str, slos: Sequence[Slo]) -> str:
    """The service levels of a model, their sources and their service as one file."""
    sources = {slo.source.id: slo.source for slo in slos if slo.source is not None}
    documents = [
        _object("Service", {"name": model}, {}),
        *(_data_source(source) for source in sources.values()),
        *(_slo_document(slo, model) for slo in slos),
    ]
    text: str = yaml.dump_all(
        documents,
        Dumper=_PlainDumper,
        sort_keys=False,
        allow_unicode=True,
        width=1_000_000,
        explicit_start=True,
    )
    return text


class _PlainDumper(yaml.SafeDumper):
    """Writes everything out, also what stands there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _object(kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _data_source(source: HealthSource) -> dict[str, Any]:
    # Without addresses and secrets: those stay with whoever set the source up.
    metadata = {"name": source.slug, "displayName": source.name}
    return _object(
        "DataSource", metadata, {"type": TYPE_NAMES.get(source.kind, source.kind),
                                 "connectionDetails": {}}
    )  # fmt: skip


def _slo_document(slo: Slo, model: str) -> dict[str, Any]:
    kept = slo.spec.get(KEPT) or {}
    name = kept.get("name") or slo.slug
    annotations = {**kept.get("annotations", {}), **_own_annotations(slo)}
    metadata = {
        "name": name,
        "displayName": slo.title,
        "labels": kept.get("labels"),
        "annotations": annotations,
    }
    said = dict(kept.get("indicator") or {"name": f"{name}-events"})
    about = said.pop("description", None)
    objective = {"displayName": kept.get("objective"), "target": slo.target}
    spec = {
        "description": kept.get("description"),
        "service": kept.get("service") or model,
        "indicator": {
            "metadata": said,
            "spec": _filled({"description": about, "ratioMetric": _ratio_metric(slo, model)}),
        },
        "timeWindow": [{"duration": f"{slo.window_days}d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [_filled(objective)],
    }
    return _object("SLO", _filled(metadata), _filled(spec))


def _filled(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value}


def _own_annotations(slo: Slo) -> dict[str, str]:
    # Also where there are none: left out, it would be read as the default.
    found = {f"{OWN}min-events": f"{slo.min_events:.15g}"}
    if slo.failure_mode:
        found[f"{OWN}failure-mode"] = slo.failure_mode
    if "recorded" in slo.spec and slo.spec.get("total"):
        found[f"{OWN}total"] = texts.with_window(slo.spec["total"])
        found |= {f"{OWN}{name}": slo.spec[name] for name in ("by", "value") if slo.spec.get(name)}
    return found


def _ratio_metric(slo: Slo, model: str) -> dict[str, Any]:
    spec = slo.spec
    if "recorded" in spec:
        return {
            "rawType": "failure",
            "raw": _source(slo, "prometheus", {"query": texts.of_recorder(spec)}),
        }
    if "metric" in spec:
        own = {name: said for name, said in spec.items() if name != KEPT}
        named = {name: said for name, said in own.items() if name in ("metric", "labels")}
        parts = {"bad": own, "total": named}
        return {
            "counter": True,
            **{name: _source(slo, "openmetrics", said) for name, said in parts.items()},
        }
    bad, total = str(spec.get("bad", "")), str(spec.get("total", ""))
    which = "bad"
    found = texts.LESS_GOOD.fullmatch(bad)
    if found and found["total"] == total:
        which, bad = "good", found["good"]
    queries = {which: bad, "total": total}
    return {
        "counter": True,
        **{
            name: _source(slo, "prometheus", {"query": texts.of_one_model(query, spec, model)})
            for name, query in queries.items()
        },
    }


def _source(slo: Slo, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    ref = {"metricSourceRef": slo.source.slug} if slo.source else {}
    return {"metricSource": {**ref, "type": TYPE_NAMES[kind], "spec": dict(spec)}}
