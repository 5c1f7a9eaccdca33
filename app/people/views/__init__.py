"""Pages of people: signing in, one's own profile, and the settings about people."""

from app.people.views import profile, settings, sign_in
from app.people.views.blueprint import bp

__all__ = ["bp", "profile", "settings", "sign_in"]
