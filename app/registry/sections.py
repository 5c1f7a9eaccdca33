"""Where features above this one add to the pages of models.

    @bp.record_once
    def _on_model_pages(state: BlueprintSetupState) -> None:
        add_model_section(state.app, ModelSection("Incidents", "incidents.of_model"))

A section is a tab of the model's page and a card on it. Its endpoint takes the model's `slug`,
answers htmx with the card, and a plain browser with a page whose template extends
`registry/model_layout.html` and gets `model` from `registry.queries.model_by_slug`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flask import current_app
from flask.sansio.app import App
from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class ModelSection:
    title: str
    endpoint: str  # takes slug
    styles: Sequence[str] = ()  # sheets of static/css/pages/ that its card needs


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """A column in the list of models: its cells by model id, all of one page at once."""

    title: str
    cells: Callable[[Sequence[int]], Mapping[int, Markup]]


# What stands above everything else on the page of one model: an open incident.
ModelBanner = Callable[[int], Markup]


def add_model_section(app: App, section: ModelSection) -> None:
    app.extensions.setdefault("model_page_sections", []).append(section)


def add_model_column(app: App, column: ModelColumn) -> None:
    app.extensions.setdefault("model_list_columns", []).append(column)


def add_model_banner(app: App, banner: ModelBanner) -> None:
    app.extensions.setdefault("model_page_banners", []).append(banner)


def model_sections() -> list[ModelSection]:
    return list(current_app.extensions.get("model_page_sections", ()))


def model_section_styles() -> list[str]:
    """The sheets that the cards of all sections need."""
    return sorted({sheet for one in model_sections() for sheet in one.styles})


def model_columns(model_ids: Sequence[int]) -> list[tuple[str, Mapping[int, Markup]]]:
    """Titles and cells of what other features tell about these models."""
    columns: list[ModelColumn] = current_app.extensions.get("model_list_columns", [])
    return [(column.title, column.cells(model_ids) if model_ids else {}) for column in columns]


def model_banners(model_id: int) -> list[Markup]:
    banners: list[ModelBanner] = current_app.extensions.get("model_page_banners", [])
    return [said for banner in banners if (said := banner(model_id))]
