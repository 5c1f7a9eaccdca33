"""What gunicorn serves."""

from app import create_app
from app.core.warm import warm_up
from app.web import logs

app = create_app()
logs.configure(app.config["SETTINGS"].log_level)
warm_up()
