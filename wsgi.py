"""What gunicorn serves."""

from app import create_app
from app.web import logs

app = create_app()
logs.configure(app.config["SETTINGS"].log_level)
