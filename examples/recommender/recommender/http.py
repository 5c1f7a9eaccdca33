"""Serving a Flask app from one process with threads."""

import logging
import sys

from flask import Flask
from waitress import create_server

from recommender.processes import end_with_parent

HOST = "127.0.0.1"


def serve_http(app: Flask, *, port: int, threads: int) -> None:
    """Serve until the process that started this one ends."""
    end_with_parent()
    # Waitress warns of every short queue; how full it is shows in the metrics.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = create_server(app, host=HOST, port=port, threads=threads, connection_limit=500)
    except OSError as failed:
        sys.exit(f"Port {port} can't be used: {failed.strerror}. Give another with --port.")
    server.run()
