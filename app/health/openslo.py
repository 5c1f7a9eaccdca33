"""OpenSLO v1, in and out: the files in which other tools keep their service levels.

What Baton can count and judge is taken. What it has no place for is told in a note, and what would
mean something else here is refused with the reason: nothing is dropped in silence. Specification:
github.com/OpenSLO/OpenSLO, version v1.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core import plain_yaml
from app.health import counting
from app.health import openslo_queries as texts
from app.health.counting import KEPT
from app.health.service import SloDraft, slo_slug
from app.health.sources.querying import promql
from app.health.sources.scraping.specs import is_number
from app.web.texts import UNSTORABLE

VERSION = "openslo/v1"
MAX_BYTES = 256 * 1024
MAX_LEVELS = 50
MAX_TOLD = 50
OWN = "baton/"  # prefix of the annotations that hold what OpenSLO has no field for
DEFAULT_DAYS = 28

KINDS = (
    "SLO", "SLI", "DataSource", "Service", "AlertPolicy", "AlertCondition",
    "AlertNotificationTarget",
)  # fmt: skip
TYPES = {
    "prometheus": "prometheus",
    "thanos": "prometheus",
    "mimir": "prometheus",
    "victoriametrics": "prometheus",
    "openmetrics": "openmetrics",
}
TYPE_NAMES = {"prometheus": "Prometheus", "openmetrics": "OpenMetrics"}

DURATION = re.compile(r"([1-9]\d{0,5})([mhdwMQY])")
MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10_080}


@dataclass(frozen=True, slots=True)
class Imported:
    """One service level of a file."""

    draft: SloDraft
    kind: str  # of source
    source: str  # what the file calls its source; may be empty


@dataclass(frozen=True, slots=True)
class SloFile:
    """What a file says."""

    levels: tuple[Imported, ...] = ()
    notes: tuple[str, ...] = ()  # what has no place here, or is read in a way worth knowing
    problems: tuple[str, ...] = ()  # with one of these, nothing is taken


class _Refused(Exception):  # noqa: N818  told as a problem of the file
    """`args[0]` is a sentence without its subject."""


# --- In


def read(content: bytes | str) -> SloFile:
    """The service levels of a file. Never raises: what is wrong is a problem."""
    try:
        documents = _documents(content)
    except ValueError as error:
        return SloFile(problems=(str(error),))
    return _File(documents).read()


def _documents(content: bytes | str) -> list[Any]:
    """Raises ValueError with a sentence."""
    size = len(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise ValueError(f"The file is larger than {MAX_BYTES // 1024} KB.")
    try:
        found = [one for one in plain_yaml.documents(content) if one is not None]
    except plain_yaml.NotPlainError as error:
        raise ValueError(str(error)) from None
    if any(UNSTORABLE.search(one) for one in _texts(found)):
        raise ValueError("It holds a character that can't be stored, such as NUL.")
    return found


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    for one in left:  # which grows meanwhile
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one


@dataclass(slots=True)
class _Named:
    """A document, or an indicator within one."""

    name: str
    title: str
    metadata: dict[str, Any]  # labels and annotations
    spec: Mapping[str, Any]


@dataclass(slots=True)
class _File:
    documents: Sequence[Any]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    indicators: dict[str, _Named] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # name -> type
    used: set[str] = field(default_factory=set)  # indicators

    def read(self) -> SloFile:
        slos: dict[str, _Named] = {}
        for number, document in enumerate(self.documents, start=1):
            where = f"Document {number}"
            try:
                kind, named = self._document(document, where)
                if kind == "SLO":
                    if named.name in slos:
                        raise _Refused(f"There is a second SLO {named.name}.")
                    slos[named.name] = named
                elif kind == "SLI":
                    self.indicators[named.name] = named
                elif kind == "DataSource":
                    self._source(named)
                elif kind == "Service":
                    self._service(named)
                else:
                    self.notes.append(
                        f"{kind} {named.name} is not taken: Baton's own burn alerts watch each "
                        "service level, and runbooks and teams say who is told."
                    )
            except _Refused as error:
                self.problems.append(f"{where}: {error.args[0]}")
        levels = self._levels(slos)
        self.notes += [
            f"SLI {name} is used by no SLO of the file and is left out."
            for name in self.indicators
            if name not in self.used
        ]
        if not slos and not self.problems:
            self.problems.append(f"There is no SLO in it, with apiVersion: {VERSION}.")
        return SloFile(tuple(levels), _some(self.notes), _some(self.problems))

    def _levels(self, slos: Mapping[str, _Named]) -> list[Imported]:
        levels: list[Imported] = []
        for named in slos.values():
            try:
                levels += self._slo(named)
            except _Refused as error:
                self.problems.append(f"SLO {named.name}: {error.args[0]}")
        slugs = [level.draft.slug for level in levels]
        for slug in dict.fromkeys(slugs):
            if slugs.count(slug) > 1:
                self.problems.append(f"Two SLOs of the file would both be called {slug} here.")
        if len(levels) > MAX_LEVELS:
            self.problems.append(f"A file has at most {MAX_LEVELS} objectives.")
        return levels

    def _document(self, document: Any, where: str) -> tuple[str, _Named]:
        if not isinstance(document, Mapping):
            raise _Refused("It is no object of OpenSLO.")
        version, kind = document.get("apiVersion"), document.get("kind")
        if version != VERSION:
            raise _Refused(f"Its apiVersion is {_said(version)}. Baton reads {VERSION}.")
        if kind not in KINDS:
            raise _Refused(f"Its kind is {_said(kind)}. OpenSLO has {', '.join(KINDS)}.")
        self._leave_out(document, ("apiVersion", "kind", "metadata", "spec"), where, "")
        return str(kind), self._named(document, where, needs_spec=kind != "Service")

    def _named(self, said: Mapping[str, Any], where: str, *, needs_spec: bool = True) -> _Named:
        metadata, spec = said.get("metadata"), said.get("spec")
        if not isinstance(metadata, Mapping) or not _is_text(metadata.get("name")):
            raise _Refused("It has no metadata.name.")
        if not isinstance(spec, Mapping):
            if needs_spec or spec is not None:
                raise _Refused(f"{_said(metadata['name'])} has no spec.")
            spec = {}
        name = str(metadata["name"])
        if len(name) > 255:
            raise _Refused("Its metadata.name is longer than 255 letters.")
        self._leave_out(
            metadata, ("name", "displayName", "labels", "annotations"), where, "metadata."
        )
        kept = {}
        if labels := self._texts_of(metadata, "labels", where, lists=True):
            kept["labels"] = labels
        if annotations := self._texts_of(metadata, "annotations", where):
            kept["annotations"] = annotations
        title = metadata.get("displayName")
        return _Named(name, str(title) if _is_text(title) else "", kept, spec)

    def _texts_of(
        self, metadata: Mapping[str, Any], name: str, where: str, *, lists: bool = False
    ) -> dict[str, Any]:
        said = metadata.get(name)
        if said is None:
            return {}
        found = {}
        if isinstance(said, Mapping):
            for key, value in said.items():
                is_list = lists and isinstance(value, list) and all(map(_is_plain, value))
                if _is_text(key) and (_is_plain(value) or is_list):
                    found[key] = [str(one) for one in value] if is_list else _plain(value)
                else:
                    self.notes.append(
                        f"{where}: metadata.{name}.{_said(key)} is no text and is left out."
                    )
        else:
            self.notes.append(f"{where}: metadata.{name} is no mapping and is left out.")
        return found

    def _leave_out(
        self, said: Mapping[Any, Any], known: Sequence[str], where: str, path: str
    ) -> None:
        self.notes += [
            f"{where}: {path}{_said(key)} is not known here and is left out."
            for key, value in said.items()
            if key not in known and value is not None
        ]

    def _source(self, named: _Named) -> None:
        said = named.spec.get("type")
        if not _is_text(said):
            raise _Refused(f"DataSource {named.name} does not say its type.")
        self.sources[named.name] = str(said)
        where = f"DataSource {named.name}"
        self._leave_out(named.spec, ("type", "connectionDetails", "description"), where, "spec.")
        if named.spec.get("connectionDetails"):
            self.notes.append(
                f"{where}: its connection details are not taken. An administrator adds sources."
            )

    def _service(self, named: _Named) -> None:
        if named.metadata or named.title or named.spec:
            self.notes.append(
                f"Service {named.name}: what it says of the service is not taken. Models are "
                "described in the registry."
            )

    # --- One SLO

    def _slo(self, named: _Named) -> list[Imported]:
        where, spec = f"SLO {named.name}", named.spec
        self._leave_out(
            spec,
            ("description", "service", "indicator", "indicatorRef", "timeWindow",
             "budgetingMethod", "objectives", "alertPolicies"),
            where, "spec.",
        )  # fmt: skip
        if spec.get("alertPolicies"):
            self.notes.append(
                f"{where}: its alert policies are not taken: Baton's own burn alerts watch it."
            )
        self._check_budgeting(spec, where)
        days = self._window_days(spec, where)
        objectives = self._objectives(spec, where)
        indicator = self._indicator(spec, where)
        own, kept = self._kept(named, indicator)
        counted, kind, source = self._counted(indicator, objectives, own, where)
        drafts = [
            SloDraft(
                title=self._title(named, objective, len(objectives) > 1),
                target=objective["target"],
                window_days=days,
                spec={**counted, KEPT: self._kept_of(kept, named.name, number, objective)},
                min_events=_own_number(own.get("min-events"), counting.fewest_events(counted)),
                failure_mode=own.get("failure-mode", "")[:80],
                slug=slo_slug(named.name if number == 1 else f"{named.name}-{number}"),
            )
            for number, objective in enumerate(objectives, start=1)
        ]
        if len(drafts) > 1:
            self.notes.append(f"{where}: each of its {len(drafts)} objectives is a service level.")
        for draft in drafts:
            if len(draft.title) > 120:
                raise _Refused(f"Its displayName is longer than 120 letters: {draft.title[:40]}…")
            if why := counting.why_not_counts(kind, draft.spec):
                raise _Refused(why)
        return [Imported(draft, kind, source) for draft in drafts]

    def _title(self, named: _Named, objective: Mapping[str, Any], is_one_of: bool) -> str:
        said = str(objective.get("displayName") or "")
        title = named.title or (named.name if is_one_of else said or named.name)
        if not is_one_of:
            return title
        percent = f"{objective['target'] * 100:.10g} %"
        return f"{title}: {said or percent}"

    def _check_budgeting(self, spec: Mapping[str, Any], where: str) -> None:
        method = spec.get("budgetingMethod")
        if method is None:
            self.notes.append(f"{where}: it has no budgetingMethod; occurrences are counted.")
        elif method in ("Timeslices", "RatioTimeslices"):
            raise _Refused(
                f"Its budgetingMethod is {method}. Baton counts events, not minutes that were "
                "good: only Occurrences can be taken."
            )
        elif method != "Occurrences":
            raise _Refused(f"Its budgetingMethod is {_said(method)}. Baton knows Occurrences.")

    def _window_days(self, spec: Mapping[str, Any], where: str) -> int:
        said = spec.get("timeWindow")
        if said is None or said == []:
            self.notes.append(f"{where}: it has no timeWindow; {DEFAULT_DAYS} days are taken.")
            return DEFAULT_DAYS
        if not isinstance(said, list) or len(said) != 1 or not isinstance(said[0], Mapping):
            raise _Refused("Its timeWindow is not a list of one window.")
        window = said[0]
        if window.get("calendar") is not None or window.get("isRolling") is False:
            raise _Refused(
                "Its timeWindow follows the calendar. Baton's windows roll: give isRolling: true "
                "and a duration in days."
            )
        self._leave_out(window, ("duration", "isRolling", "calendar"), where, "timeWindow.")
        found = DURATION.fullmatch(str(window.get("duration", "")))
        if found is None:
            raise _Refused("The duration of its timeWindow can't be read. Give it as in 28d or 4w.")
        if found[2] not in MINUTES:
            raise _Refused(
                f"Its timeWindow is {found[0]}: months, quarters and years differ in length. "
                "Give it in days."
            )
        days, rest = divmod(int(found[1]) * MINUTES[found[2]], 1440)
        if rest or not 1 <= days <= 90:
            raise _Refused(f"Its timeWindow is {found[0]}. Baton takes whole days, 1 to 90.")
        return days

    def _objectives(self, spec: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
        said = spec.get("objectives")
        if not isinstance(said, list) or not said:
            raise _Refused("It has no objectives.")
        return [self._objective(one, where) for one in said]

    def _objective(self, said: Any, where: str) -> dict[str, Any]:
        if not isinstance(said, Mapping):
            raise _Refused("One of its objectives is no mapping.")
        if any(
            said.get(name) is not None for name in ("indicator", "indicatorRef", "compositeWeight")
        ):
            raise _Refused("An objective has an indicator of its own. Composites can't be taken.")
        if (said.get("target") is None) == (said.get("targetPercent") is None):
            raise _Refused("An objective needs either target or targetPercent.")
        name, scale = ("target", 1) if said.get("target") is not None else ("targetPercent", 100)
        if not is_number(said[name], above=0, below=scale):
            raise _Refused(f"{name} is {_said(said[name])}. It lies between 0 and {scale}.")
        for sliced in ("timeSliceTarget", "timeSliceWindow"):
            if said.get(sliced) is not None:
                self.notes.append(f"{where}: {sliced} means nothing with Occurrences; left out.")
        known = ("displayName", "target", "targetPercent", "op", "value", "timeSliceTarget",
                 "timeSliceWindow")  # fmt: skip
        self._leave_out(said, known, where, "objectives.")
        target = float(said[name]) if scale == 1 else float(f"{said[name] / 100:.12g}")
        shown = said.get("displayName")
        return {
            "target": target,
            "displayName": str(shown) if _is_text(shown) else "",
            "op": said.get("op"),
            "value": said.get("value"),
        }

    def _indicator(self, spec: Mapping[str, Any], where: str) -> _Named:
        inline, ref = spec.get("indicator"), spec.get("indicatorRef")
        if (inline is None) == (ref is None):
            raise _Refused("It needs either an indicator or an indicatorRef.")
        if ref is not None:
            if ref not in self.indicators:
                raise _Refused(f"Its indicatorRef {_said(ref)} names no SLI of the file.")
            self.used.add(str(ref))
            return self.indicators[str(ref)]
        if not isinstance(inline, Mapping):
            raise _Refused("Its indicator is no mapping.")
        self._leave_out(inline, ("metadata", "spec", "kind", "apiVersion"), where, "indicator.")
        if inline.get("metadata") is None:
            inline = {**inline, "metadata": {"name": "indicator"}}
        return self._named(inline, where)

    def _kept(self, named: _Named, indicator: _Named) -> tuple[dict[str, str], dict[str, Any]]:
        """What Baton put into annotations itself, and what it keeps for whoever reads it again."""
        said = dict(named.metadata.get("annotations", {}))
        own = {key.removeprefix(OWN): said.pop(key) for key in list(said) if key.startswith(OWN)}
        kept: dict[str, Any] = {}
        if said:
            kept["annotations"] = said
        if labels := named.metadata.get("labels"):
            kept["labels"] = labels
        for name in ("description", "service"):
            if _is_text(named.spec.get(name)):
                kept[name] = named.spec[name]
        said_of = {"name": indicator.name, **indicator.metadata}
        if indicator.title:
            said_of["displayName"] = indicator.title
        if _is_text(indicator.spec.get("description")):
            said_of["description"] = indicator.spec["description"]
        kept["indicator"] = said_of
        return own, kept

    def _kept_of(
        self, kept: Mapping[str, Any], name: str, number: int, objective: Mapping[str, Any]
    ) -> dict[str, Any]:
        called = name if number == 1 else f"{name}-{number}"
        shown = objective.get("displayName")
        return {**kept, "name": called, **({"objective": shown} if shown else {})}

    # --- What is counted

    def _counted(
        self,
        indicator: _Named,
        objectives: Sequence[Mapping[str, Any]],
        own: Mapping[str, str],
        where: str,
    ) -> tuple[dict[str, Any], str, str]:
        """The spec, the kind of its source and what the file calls the source."""
        spec = indicator.spec
        self._leave_out(
            spec, ("description", "ratioMetric", "thresholdMetric"), where, "indicator.spec."
        )
        ratio, threshold = spec.get("ratioMetric"), spec.get("thresholdMetric")
        if (ratio is None) == (threshold is None):
            raise _Refused("Its indicator needs either a ratioMetric or a thresholdMetric.")
        if threshold is not None:
            return self._threshold(threshold, objectives, where)
        if not isinstance(ratio, Mapping):
            raise _Refused("Its ratioMetric is no mapping.")
        for objective in objectives:
            if objective["op"] is not None or objective["value"] is not None:
                self.notes.append(f"{where}: op and value mean nothing with a ratio; left out.")
        self._leave_out(
            ratio, ("counter", "good", "bad", "total", "raw", "rawType"), where, "ratioMetric."
        )
        if ratio.get("raw") is not None:
            return self._raw(ratio, own, where)
        if (ratio.get("good") is None) == (ratio.get("bad") is None) or ratio.get("total") is None:
            raise _Refused("Its ratioMetric needs total, and either good or bad.")
        which = "bad" if ratio.get("bad") is not None else "good"
        part = self._metric(ratio[which], which, where)
        total = self._metric(ratio["total"], "total", where)
        if (part.kind, part.ref) != (total.kind, total.ref):
            raise _Refused(f"{which} and total come from two sources. Baton asks one.")
        if part.kind == "openmetrics":
            return _scraped(part, total, which), part.kind, part.ref
        counter = ratio.get("counter")
        queries = [self._query(one, counter, where) for one in (part, total)]
        return self._asked(which, *queries), part.kind, part.ref

    def _metric(self, said: Any, name: str, where: str) -> "_Metric":
        source = said.get("metricSource") if isinstance(said, Mapping) else None
        if not isinstance(source, Mapping) or not isinstance(source.get("spec"), Mapping):
            raise _Refused(f"{name} has no metricSource with a spec.")
        self._leave_out(said, ("metricSource",), where, f"{name}.")
        self._leave_out(source, ("metricSourceRef", "type", "spec"), where, f"{name}.metricSource.")
        ref, spec = source.get("metricSourceRef"), source["spec"]
        ref = str(ref) if _is_text(ref) else ""
        written = source.get("type") or self.sources.get(ref)
        if written is None:
            kind = "openmetrics" if "metric" in spec else "prometheus"
        else:
            kind = TYPES.get(str(written).lower(), "")
        if not kind:
            raise _Refused(
                f"Its source is of the type {_said(written)}. Baton counts events of a Prometheus "
                "or of a page of OpenMetrics."
            )
        return _Metric(kind, ref, spec, name)

    def _query(self, metric: "_Metric", counter: Any, where: str) -> str:
        """The query as Baton writes it: with $w for the window, and events that can be counted."""
        said = metric.spec.get("query")
        if not _is_text(said):
            raise _Refused(f"{metric.name} has no query.")
        self._leave_out(metric.spec, ("query",), where, f"{metric.name}.metricSource.spec.")
        query = texts.from_file(str(said))
        if "{{" in query:
            raise _Refused(
                f"The query of {metric.name} has a placeholder other than {{{{.window}}}}."
            )
        if "$w" not in query:
            query = self._windowed(query, metric.name, counter, where)
        counted = counting.counted(query)
        if counted != query:
            self.notes.append(
                f"{where}: rate in the query of {metric.name} is read as increase. The ratio is the "
                "same, and events can be counted."
            )
        if why := promql.why_not(counted):
            raise _Refused(f"The query of {metric.name}: {why}")
        return counted

    def _windowed(self, query: str, name: str, counter: Any, where: str) -> str:
        plain = texts.PLAIN_COUNTER.fullmatch(query)
        if plain is None or counter is not True:
            looks_back = texts.FIXED_RANGE.search(query)
            why = "looks back over one fixed time" if looks_back else "has no window"
            raise _Refused(
                f"The query of {name} {why}. Baton asks over windows of 5 minutes to 90 days: "
                "write sum(increase(requests_total[{{.window}}]))."
            )
        self.notes.append(f"{where}: the increase of the counter in {name} is counted.")
        return f"sum(increase({plain[1] or plain[2]}[$w]))"

    def _asked(self, which: str, part: str, total: str) -> dict[str, Any]:
        of_one = [texts.ONE_MODEL.fullmatch(query) for query in (part, total)]
        if (
            of_one[0]
            and of_one[1]
            and of_one[0].group("by", "value") == of_one[1].group("by", "value")
        ):
            by, value = of_one[0]["by"], texts.unquoted(of_one[0]["value"])
            part, total = (texts.for_all_models(found["query"], by) for found in of_one if found)
            named = {"by": by, "value": value}
        else:
            named = {}
        if which == "bad":
            return {"bad": part, "total": total, **named}
        grouping = " by ($by)" if named else ""
        part, total = texts.summed(part, grouping), texts.summed(total, grouping)
        # No series of good events means that none was good.
        nothing = f"0 * {total}" if named else "vector(0)"
        return {"bad": f"{total} - ({part} or {nothing})", "total": total, **named}

    def _raw(
        self, ratio: Mapping[str, Any], own: Mapping[str, str], where: str
    ) -> tuple[dict[str, Any], str, str]:
        if any(ratio.get(name) is not None for name in ("good", "bad", "total")):
            raise _Refused("Its ratioMetric has raw beside good, bad or total.")
        metric = self._metric(ratio["raw"], "raw", where)
        query = texts.from_file(str(metric.spec.get("query", "")))
        found = texts.OF_SLOTH.fullmatch(query), texts.OF_PYRRA.fullmatch(query)
        if metric.kind != "prometheus" or not any(found) or ratio.get("rawType") != "failure":
            raise _Refused(
                "It has a raw ratio. Baton reads those that sloth and pyrra record, with rawType: "
                "failure; give good or bad, and total, instead."
            )
        self._leave_out(metric.spec, ("query",), where, "raw.metricSource.spec.")
        try:
            labels = texts.labels_in(next(one["labels"] for one in found if one))
        except ValueError as error:
            raise _Refused(str(error)) from None
        names = ("sloth_service", "sloth_slo") if found[0] else ("slo",)
        if any(name not in labels for name in names):
            raise _Refused(f"Its raw ratio needs the labels {' and '.join(names)}.")
        self._leave_out(labels, names, where, "the label ")
        spec: dict[str, Any] = {"recorded": "sloth", "service": labels.get("sloth_service")}
        spec["slo"] = labels[names[-1]]
        if found[1]:
            spec = {"recorded": "pyrra", "slo": labels["slo"]}
            if found[1]["metric"]:
                self.notes.append(f"{where}: the burn rate is read whatever its metric is called.")
        if total := own.get("total"):
            spec["total"] = texts.from_file(total)
            spec |= {name: own[name] for name in ("by", "value") if own.get(name)}
        return spec, "prometheus", metric.ref

    def _threshold(
        self, said: Any, objectives: Sequence[Mapping[str, Any]], where: str
    ) -> tuple[dict[str, Any], str, str]:
        metric = self._metric(said, "thresholdMetric", where)
        if metric.kind != "openmetrics" or not _is_text(metric.spec.get("metric")):
            raise _Refused(
                "It has a thresholdMetric: one value at a time, and no events to count. Give a "
                "ratioMetric; for latencies, good are the requests in the bucket of the limit."
            )
        values = {(one["op"], one["value"]) for one in objectives}
        if len(values) != 1:
            raise _Refused("Its objectives compare with several values. Give an SLO for each.")
        op, value = values.pop()
        if op not in ("lte", "lt") or not is_number(value):
            raise _Refused("Its thresholdMetric needs op: lte and a value: less is good here.")
        if op == "lt":
            self.notes.append(f"{where}: lt is read as lte, as buckets are counted.")
        self._leave_out(metric.spec, ("metric", "labels"), where, "metricSource.spec.")
        named = {name: metric.spec[name] for name in ("metric", "labels") if metric.spec.get(name)}
        return {**named, "over": float(value)}, metric.kind, metric.ref


@dataclass(frozen=True, slots=True)
class _Metric:
    kind: str
    ref: str
    spec: Mapping[str, Any]
    name: str  # good, bad, total …


def _scraped(part: _Metric, total: _Metric, which: str) -> dict[str, Any]:
    """A page of metrics: `bad` holds Baton's own spec, and `total` the metric alone."""
    if which == "good":
        raise _Refused("With OpenMetrics, say which events are bad: give bad and total.")
    known = ("metric", "labels", "bad", "not_bad", "bad_metric", "over")
    if odd := [name for name in (*part.spec, *total.spec) if name not in known]:
        raise _Refused(f"Its OpenMetrics has {_said(odd[0])}, which says nothing here.")
    for name in ("metric", "labels"):
        if (part.spec.get(name) or None) != (total.spec.get(name) or None):
            raise _Refused(f"bad and total have another {name}: they are of the same requests.")
    return {name: part.spec[name] for name in known if part.spec.get(name) is not None}


def _own_number(said: str | None, default: float) -> float:
    try:
        number = float(said) if said else default
    except ValueError:
        number = -1
    if not is_number(number, above=-1e-9):
        raise _Refused(f"Its annotation {OWN}min-events is no number.")
    return number


def _said(value: Any) -> str:
    """What somebody wrote, as a short text."""
    text = "missing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _plain(value: Any) -> str:
    # As YAML writes it, so that true stays true.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _some(sentences: Sequence[str]) -> tuple[str, ...]:
    each = list(dict.fromkeys(sentences))
    more = len(each) - MAX_TOLD
    return (*each[:MAX_TOLD], *([f"And {more} more."] if more > 0 else []))
