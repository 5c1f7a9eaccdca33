"""The pages of the shell itself."""

import re
from datetime import UTC, datetime, timedelta

from flask import Blueprint, render_template
from wtforms import BooleanField, Form, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import InputRequired

from app.web.assets import FOLDER

bp = Blueprint("web", __name__, template_folder="templates")
development = Blueprint("web_development", __name__)

ICON = re.compile(r'<symbol id="i-([^"]+)"')
NIGHT = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)


PEOPLE = [SelectChoice("1", "Ines Duarte"), SelectChoice("2", "Priya Raman")]
UNTIL = [SelectChoice("30", "For 30 min"), SelectChoice("end", "Until I resolve it")]


class SpecimenForm(Form):
    name = StringField("Model name", description="Small letters, digits and dashes")
    limit = StringField("p99 limit, ms", [InputRequired()])
    owner = SelectField("Owner", choices=PEOPLE)
    why = TextAreaField("Why are you skipping this step?", [InputRequired()])
    deputy = BooleanField("Page the deputy too")
    until = RadioField("Acknowledge", choices=UNTIL)


@development.get("/_components")
def specimen() -> str:
    """Every component in every state, for developers and for the visual tests."""
    form = SpecimenForm(data={"name": "recsys-home", "limit": "25O", "until": "30"})
    form.limit.errors = ["“25O” is not a number. Write the limit in milliseconds, as in 250."]
    form.why.errors = ["Say why, in a line."]
    return render_template(
        "web/specimen.html",
        at=NIGHT,
        viewer_zone="Europe/Berlin",
        form=form,
        icons=ICON.findall((FOLDER / "icons.svg").read_text()),
        seconds=lambda count: NIGHT - timedelta(seconds=count),
    )
