"""What the pages of runbooks hang on."""

from flask import Blueprint

bp = Blueprint("runbooks", "app.runbooks", template_folder="templates")
