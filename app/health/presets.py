"""What to watch of each kind of serving API, ready to be made: three clicks and no PromQL.

Each template holds the spec for a scrape of Baton's own, the queries for a Prometheus, or the
reason why neither can tell. What can't be told is offered too, as not measurable: a panel that is
missing looks like one that was forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.health.preset_templates import (
    BUSY,
    ERRORS,
    QUEUE,
    TRAFFIC,
    PanelTemplate,
    Preset,
    Server,
    Spec,
    cannot,
    latency_rule,
    no_errors,
    no_gpu,
    no_latencies,
    no_queue,
    rows_of,
    up_to,
)
from app.health.rules import FAILURE_MODES, Lane, Rule

OPENMETRICS, PROMETHEUS = "openmetrics", "prometheus"


@dataclass(frozen=True, slots=True)
class PanelDraft:
    """A panel to be made of one model."""

    key: str
    lane: Lane
    title: str
    unit: str
    spec: Spec
    rule: Rule
    window: int
    failure_mode: str
    severity: int
    not_measurable: str = ""  # the reason; the panel says it then, and nothing else


def panels_of(
    preset: str | Preset, model: str, source_kind: str, *, name: str = ""
) -> list[PanelDraft]:
    """The panels that a preset offers for a model, by its slug and its name at the server."""
    chosen = PRESETS[preset] if isinstance(preset, str) else preset
    return [_draft(template, chosen, name or model, source_kind) for template in chosen.panels]


def _draft(template: PanelTemplate, preset: Preset, name: str, kind: str) -> PanelDraft:
    spec = {OPENMETRICS: template.scrape, PROMETHEUS: template.query}.get(kind)
    why = ""
    if spec is None:
        why = template.cannot or f"{preset.title} does not tell it to this kind of source."
        spec = {"not_measurable": why}
    failure_mode = template.failure_mode
    return PanelDraft(
        key=template.key,
        lane=template.lane,
        title=template.title,
        unit=template.unit,
        spec=_of_model(spec, name),
        rule=template.rule,
        window=template.window,
        failure_mode=FAILURE_MODES.get(template.lane, "") if failure_mode is None else failure_mode,
        severity=template.severity,
        not_measurable=why,
    )


def _of_model(spec: Spec, name: str) -> dict[str, Any]:
    """The spec for the model of this name, which a query looks for in the answer."""
    if spec.get("by"):
        return {**spec, "value": name}
    if "labels" not in spec:
        return dict(spec)
    labels = {label: name if said == "$m" else said for label, said in spec["labels"].items()}
    return {**spec, "labels": labels}


# --- The servers


def _kserve() -> Preset:
    its = Server("model_name")
    in_front = Server("service_name")
    predict = "request_predict_seconds"
    why = (
        "KServe's own runtimes count no errors. A Prometheus that also scrapes Knative knows them."
    )
    return Preset(
        "kserve",
        "KServe",
        "The metrics of a Python runtime, at /metrics of the predictor.",
        (
            its.rate(f"{predict}_count"),
            replace(
                in_front.errors("revision_app_request_count", bad={"response_code_class": "5*"}),
                scrape=None,
                cannot=why,
            ),
            *its.latencies(predict),
            its.drift(predict),
            replace(
                in_front.gauge(
                    "queue", Lane.QUEUE, "Queue", "requests", "revision_queue_depth", QUEUE
                ),
                scrape=None,
                cannot="The queue is Knative's. A Prometheus that scrapes Knative knows it.",
            ),
            no_gpu("KServe"),
        ),
        (
            "Its series do not carry the model's version: two versions are one line.",
            why,
            "Latency is that of the predict step, without pre- and postprocessing.",
            "No bucket ends at 150 ms.",
        ),
    )


def _triton() -> Preset:
    its = Server("model", to_ms=0.001)
    good, bad = "nv_inference_request_success", "nv_inference_request_failure"
    failed = f"sum by ($by) (rate({bad}[$w]))"
    both = f"(sum by ($by) (rate({good}[$w])) + {failed})"
    rows = {"rows": f"sum by ($by) (increase({good}[$w])) + sum by ($by) (increase({bad}[$w]))"}
    asked = {**rows, "by": "model"}
    named = its.named
    summary = "nv_inference_request_summary_us"
    return Preset(
        "triton",
        "Triton",
        "The metrics of Triton Inference Server, at port 8002.",
        (
            PanelTemplate(
                "rate", Lane.THROUGHPUT, "Requests", "rps", TRAFFIC,
                scrape={"stat": "rate", "metric": [good, bad], "labels": named},
                query={"query": both, **asked},
            ),
            its.failures(
                {
                    "stat": "ratio", "metric": [good, bad], "bad_metric": bad, "labels": named,
                    "scale": 100,
                },
                failed, both, asked, ERRORS,
            ),
            *(
                PanelTemplate(
                    f"p{percent}", Lane.LATENCY, f"p{percent} latency", "ms", latency_rule(ms),
                    scrape={
                        "stat": "gauge", "metric": summary, "agg": "max", "scale": 0.001,
                        "labels": {**named, "quantile": f"{percent / 100:g}"},
                        "rows_metric": good,
                    },
                    query={
                        "query": f'max by ($by) ({summary}{{quantile="{percent / 100:g}"}})',
                        **asked, "scale": 0.001,
                    },
                    severity=2 if percent == 99 else 3,
                    failure_mode=None if percent == 99 else "",
                )
                for percent, ms in ((50, 100), (95, 200), (99, 250))
            ),
            cannot(
                "latency-drift", Lane.LATENCY_DRIFT, "Latency against a week ago", "",
                "Triton tells quantiles and no distribution.",
            ),
            its.gauge(
                "queue", Lane.QUEUE, "Queue", "requests", "nv_inference_pending_request_count", QUEUE
            ),
            its.gauge(
                "gpu", Lane.GPU, "GPU busy", "%", "nv_gpu_utilization", BUSY,
                agg="avg", scale=100, named=False,
            ),
            PanelTemplate(
                "gpu-memory", Lane.GPU, "GPU memory", "%", BUSY,
                query={
                    "query": "100 * sum(nv_gpu_memory_used_bytes) / sum(nv_gpu_memory_total_bytes)"
                },
                cannot="Used and total memory are two gauges: a Prometheus can divide them.",
            ),
        ),
        (
            "Quantiles are off unless --metrics-config summary_latencies=true turns them on.",
            "With them on, somebody measured a third less throughput.",
            "Quantiles are those of the worst replica: they can't be averaged.",
            "GPU figures are those of the server, whichever model uses it.",
        ),
    )  # fmt: skip


def _torchserve() -> Preset:
    its = Server("model_name", to_ms=0.001)
    requests, spent = "ts_inference_requests_total", "ts_inference_latency_microseconds"
    why = "TorchServe adds up latencies and keeps no distribution: a mean is all there is."
    return Preset(
        "torchserve",
        "TorchServe",
        "The metrics of TorchServe, at port 8082 with metrics_mode=prometheus.",
        (
            its.rate(requests),
            PanelTemplate(
                "mean", Lane.LATENCY, "Mean latency", "ms", latency_rule(100),
                scrape={
                    "stat": "mean", "metric": spent, "per": requests, "labels": its.named,
                    "scale": 0.001,
                },
                query={
                    "query": f"sum by ($by) (rate({spent}[$w])) / "
                    f"sum by ($by) (rate({requests}[$w]))",
                    **rows_of(requests, "model_name"), "scale": 0.001,
                },
            ),
            *no_latencies(why),
            no_errors("TorchServe counts errors by host and not by model."),
            no_queue("TorchServe adds up the time in the queue and does not tell its length."),
            no_gpu("TorchServe"),
        ),
        (
            "By default its metrics go to the log, and there is nothing to scrape.",
            why,
            "Errors are counted by host and not by model.",
            "The project is no longer maintained.",
        ),
    )  # fmt: skip


def _tf_serving() -> Preset:
    its = Server("model_name", to_ms=0.001)
    latency = ":tensorflow:serving:request_latency"
    return Preset(
        "tf-serving",
        "TensorFlow Serving",
        "The metrics at /monitoring/prometheus/metrics, which prometheus_config turns on.",
        (
            its.rate(":tensorflow:serving:request_count"),
            its.errors(":tensorflow:serving:request_count", not_bad={"status": "OK"}),
            *its.latencies(latency),
            its.drift(latency),
            no_queue("TensorFlow Serving tells how long requests wait and not how many."),
            no_gpu("TensorFlow Serving"),
        ),
        (
            "Its series do not carry the model's version: two versions are one line.",
            "Its metrics are off unless prometheus_config turns them on.",
            "It does not tell how many requests wait.",
        ),
    )


def _bentoml() -> Preset:
    its = Server("service_name")
    requests = "bentoml_service_request_total"
    duration = "bentoml_service_request_duration_seconds"
    return Preset(
        "bentoml",
        "BentoML",
        "The metrics of a service, at /metrics. Version 1 begins them with bentoml_api_server_.",
        (
            its.rate(requests),
            its.errors(requests, bad={"http_response_code": "5*"}),
            *its.latencies(duration),
            its.drift(duration),
            its.gauge(
                "queue", Lane.QUEUE, "In progress", "requests",
                "bentoml_service_request_in_progress", QUEUE,
            ),
            no_gpu("BentoML"),
        ),
        ("It tells the requests in progress and not those that wait.",),
    )  # fmt: skip


def _ray_serve() -> Preset:
    its = Server("deployment", to_ms=1)
    requests = "ray_serve_deployment_request_counter_total"
    errors = "ray_serve_deployment_error_counter_total"
    latency = "ray_serve_deployment_processing_latency_ms"
    return Preset(
        "ray-serve",
        "Ray Serve",
        "The metrics of Ray, at the metrics export port of each node.",
        (
            its.rate(requests),
            its.failures(
                {
                    "stat": "ratio", "metric": requests, "bad_metric": errors, "labels": its.named,
                    "scale": 100,
                },
                f"sum by ($by) (rate({errors}[$w]))",
                f"sum by ($by) (rate({requests}[$w]))",
                rows_of(requests, "deployment"),
                ERRORS,
            ),
            *its.latencies(latency),
            its.drift(latency),
            its.gauge(
                "queue", Lane.QUEUE, "Queue", "requests", "ray_serve_deployment_queued_queries",
                QUEUE,
            ),
            its.gauge(
                "gpu", Lane.GPU, "GPU busy", "%", "ray_node_gpus_utilization", BUSY,
                agg="avg", named=False,
            ),
        ),
        (
            "Latency is that of the deployment. The proxy and the network are not in it.",
            "GPU figures are those of the nodes, whichever deployment uses them.",
            "Each node has metrics of its own: a Prometheus sees all of them, a scrape one.",
        ),
    )  # fmt: skip


def _seldon() -> Preset:
    its = Server("model")
    requests, spent = "seldon_model_infer_total", "seldon_model_infer_seconds_total"
    why = "Seldon's histogram of model latencies does not say which model. It has a mean by model."
    return Preset(
        "seldon-v2",
        "Seldon Core 2",
        "The metrics of the agent beside each server.",
        (
            its.rate(requests),
            its.errors(requests, not_bad={"code": ["200", "OK"]}),
            PanelTemplate(
                "mean", Lane.LATENCY, "Mean latency", "ms", latency_rule(100),
                scrape={
                    "stat": "mean", "metric": spent, "per": requests, "labels": its.named,
                    "scale": 1000,
                },
                query={
                    "query": f"sum by ($by) (rate({spent}[$w])) / "
                    f"sum by ($by) (rate({requests}[$w]))",
                    **rows_of(requests, "model"), "scale": 1000,
                },
            ),
            *no_latencies(why),
            no_queue("Seldon tells queues by server and not by model."),
            no_gpu("Seldon"),
        ),
        (why, "Pipelines do have quantiles: make a panel with seldon_pipeline_infer_api_seconds."),
    )  # fmt: skip


def _vllm() -> Preset:
    its = Server("model_name")
    why = "vLLM counts no errors. Watch the 5xx of the gateway in front of it."
    latency = "vllm:e2e_request_latency_seconds"
    limits = {50: 2_000, 95: 8_000, 99: 10_000}
    return Preset(
        "vllm",
        "vLLM",
        "The metrics of the OpenAI-compatible server, at /metrics.",
        (
            its.rate("vllm:request_success_total"),
            no_errors(why),
            *its.latencies(latency, limits),
            replace(
                its.latency("vllm:time_to_first_token_seconds", 99, 1_000),
                key="first-token-p99", title="p99 time to first token", failure_mode="",
            ),
            its.drift(latency),
            its.gauge(
                "queue", Lane.QUEUE, "Queue", "requests", "vllm:num_requests_waiting", QUEUE
            ),
            its.gauge(
                "gpu", Lane.GPU, "KV cache used", "%", "vllm:kv_cache_usage_perc", BUSY,
                agg="max", scale=100,
            ),
        ),
        (
            why,
            "The KV cache is the part of GPU memory that fills up; vLLM does not tell the rest.",
        ),
    )  # fmt: skip


def _mlflow() -> Preset:
    why = (
        "mlflow models serve has no metrics: only /ping, /health, /version and /invocations. "
        "Put a gateway in front, or serve the model with MLServer or KServe."
    )
    return Preset(
        "mlflow",
        "MLflow",
        "mlflow models serve exposes no metrics.",
        (
            cannot("rate", Lane.THROUGHPUT, "Requests", "rps", why),
            no_errors(why),
            *no_latencies(why),
            no_queue(why),
            cannot("gpu", Lane.GPU, "GPU busy", "%", why),
        ),
        (why, "--expose-prometheus is an option of the tracking server and not of a model."),
    )


def _opentelemetry() -> Preset:
    duration = "http_server_request_duration_seconds"

    def panels(its: Server) -> Sequence[PanelTemplate]:
        return (
            its.rate(f"{duration}_count"),
            its.errors(f"{duration}_count", bad={"http_response_status_code": "5*"}),
            *its.latencies(duration),
            its.drift(duration),
        )

    # A Prometheus calls the service its job; in the process itself nothing carries its name.
    both = zip(panels(Server("job")), panels(Server("")), strict=True)
    return Preset(
        "opentelemetry",
        "OpenTelemetry HTTP",
        "http.server.request.duration of a service, by way of the Prometheus exporter.",
        (
            *(replace(asked, scrape=scraped.scrape) for asked, scraped in both),
            no_queue("The conventions have requests in progress, which few libraries export."),
            no_gpu("OpenTelemetry's HTTP instrumentation"),
        ),
        (
            "Nothing in it says which model answered: a scrape shows all of the process.",
            "In a Prometheus, a model is the service whose label job has its name.",
            "No bucket ends at 150 ms.",
        ),
    )


def _recommender() -> Preset:
    its = Server("model")
    duration = "recommender_request_duration_seconds"
    served = "recommender_served_total"
    fallback = replace(
        its.errors(served, not_bad={"rung": "provider"}),
        key="fallback", lane=Lane.FALLBACK, title="Served by a fallback",
        rule=Rule(above=5, clear=2, k=2, n=3, min_rows=50),
    )  # fmt: skip
    over = PanelTemplate(
        "over-budget", Lane.LATENCY, "Over the budget of 150 ms", "%",
        Rule(above=1, clear=0.5, k=3, n=5, min_rows=50),
        scrape={
            "stat": "share_over", "metric": duration, "labels": its.named, "over": 0.15,
            "scale": 100,
        },
        query={
            "query": f'100 * (1 - sum by ($by) (rate({duration}_bucket{{le="0.15"}}[$w])) / '
            f"sum by ($by) (rate({duration}_count[$w])))",
            **rows_of(f"{duration}_count", "model"),
        },
        failure_mode="",
    )  # fmt: skip
    return Preset(
        "recommender",
        "Recommender",
        "The reference initiative in examples/recommender, at /metrics.",
        (
            its.rate("recommender_requests_total", rule=up_to(200, clear=180)),
            its.errors("recommender_requests_total", bad={"outcome": ["error", "invalid"]}),
            *its.latencies(duration, {50: 50, 95: 100, 99: 150}),
            over,
            its.drift(duration),
            fallback,
            its.gauge(
                "in-flight", Lane.QUEUE, "In progress", "requests", "recommender_in_flight",
                up_to(50, clear=25),
            ),
            cannot("gpu", Lane.GPU, "GPU busy", "%", "The recommender runs without a GPU."),
        ),
        (
            "It tells the requests in progress and not those that wait.",
            "Drift of inputs and outputs comes from its drift API: add that as a source too.",
        ),
    )  # fmt: skip


PRESETS: Mapping[str, Preset] = {
    preset.key: preset
    for preset in (
        _kserve(), _triton(), _torchserve(), _tf_serving(), _bentoml(), _ray_serve(), _seldon(),
        _vllm(), _mlflow(), _opentelemetry(), _recommender(),
    )
}  # fmt: skip
