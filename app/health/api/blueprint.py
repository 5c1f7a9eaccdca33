"""What the routes of health hang on."""

from flask_openapi3 import APIBlueprint, Tag

api = APIBlueprint(
    "health_api", "app.health", url_prefix="/api/v1/health", abp_tags=[Tag(name="Health")]
)
