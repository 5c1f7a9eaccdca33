"""Serving APIs for the benchmark: scraped ones, Prometheus servers, and some that hang.

    python -m bench.hosts SCRAPED ASKED HANGING MODELS

Prints a port for each, in that order, and serves until it is killed.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
Answer = Callable[[str, str], tuple[str, bytes]]  # path and body to media type and body


def exposition(models: list[str], started: float) -> bytes:
    """What a recommender tells of these models by now: 20 requests a second each."""
    count = (time.time() - started) * 20 + 100_000
    lines = ["# TYPE recommender_request_duration_seconds histogram"]
    for model in models:
        for place, end in enumerate(BUCKETS, 1):
            share = min(1.0, place / 8)
            lines.append(
                f'recommender_request_duration_seconds_bucket{{model="{model}",le="{end}"}} '
                f"{count * share:.0f}"
            )
        lines += [
            f'recommender_request_duration_seconds_bucket{{model="{model}",le="+Inf"}} {count:.0f}',
            f'recommender_request_duration_seconds_count{{model="{model}"}} {count:.0f}',
            f'recommender_request_duration_seconds_sum{{model="{model}"}} {count * 0.05:.1f}',
        ]
    lines.append("# TYPE recommender_requests counter")
    for model in models:
        for outcome, share in (("ok", 0.999), ("error", 0.0005), ("invalid", 0.0005)):
            lines.append(
                f'recommender_requests_total{{model="{model}",outcome="{outcome}"}} '
                f"{count * share:.1f}"
            )
    lines.append("# TYPE recommender_in_flight gauge")
    lines += [
        f'recommender_in_flight{{model="{model}"}} {random.randint(0, 5)}' for model in models
    ]
    return ("\n".join(lines) + "\n# EOF\n").encode()


def vector(models: list[str]) -> bytes:
    """What a Prometheus says to any instant query `by` the model."""
    at = time.time()
    result = [
        {"metric": {"model": model}, "value": [at, str(random.uniform(20, 60))]} for model in models
    ]
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": result}}
    ).encode()


async def serve(answer: Answer | None) -> int:
    """Serve on a port of its own. Without an answer, accept and say nothing."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = 0
                for line in head.split("\r\n"):
                    if line.lower().startswith("content-length:"):
                        length = int(line.partition(":")[2])
                body = (await reader.readexactly(length)).decode() if length else ""
                if answer is None:
                    await asyncio.sleep(3600)
                    continue
                kind, said = answer(head.split(" ", 2)[1], body)
                writer.write(
                    f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(said)}\r\n\r\n".encode()
                    + said
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


async def main() -> None:
    scraped, asked, hanging, models = map(int, sys.argv[1:])
    started = time.time()
    ports = []
    for host in range(scraped + asked + hanging):
        names = [f"model-{host}-{number}" for number in range(models)]

        def tell(_path: str, _body: str, names: list[str] = names) -> tuple[str, bytes]:
            return "application/openmetrics-text", exposition(names, started)

        def reply(_path: str, _body: str, names: list[str] = names) -> tuple[str, bytes]:
            return "application/json", vector(names)

        ports.append(
            await serve(tell if host < scraped else reply if host < scraped + asked else None)
        )
    print(*ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
