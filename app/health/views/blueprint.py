"""What the pages of health hang on."""

from flask import Blueprint

bp = Blueprint("health", "app.health", template_folder="templates")
