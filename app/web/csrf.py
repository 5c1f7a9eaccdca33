"""Protects every form of the browser session against requests from other sites."""

from flask_wtf.csrf import CSRFProtect

csrf = CSRFProtect()
