"""Links that leave Baton, in answers of the API."""

from flask import url_for


def test_a_link_starts_with_our_own_address_whatever_host_the_request_names(app):
    ours = app.config["SETTINGS"].url

    with app.test_request_context(base_url="http://evil.example"):
        link = url_for("incidents.detail", incident_id=7, _external=True)

    assert link == f"{ours}/incidents/7"
