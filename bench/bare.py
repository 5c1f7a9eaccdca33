"""What Flask alone does with a JSON POST: the ceiling that the doors are held against."""

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)


@app.post("/in/alertmanager")
def receive() -> ResponseReturnValue:
    document = request.get_json()
    return jsonify(delivery="0" * 32, result="accepted", alerts=len(document["alerts"]))
