import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.people.rules import safe_path, said_aloud


@pytest.mark.parametrize("path", ["/", "/incidents/214", "/models?tier=1&owner=ada", "/r/X#s8"])
def test_a_path_of_this_site_is_kept(path):
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "",
        "incidents",
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\\/evil.example",
        "javascript:alert(1)",
        "/sign-in?next=/",
        "/sign-out",
        "/welcome/secret",
    ],
)
def test_anything_else_leads_to_the_front_page(wanted):
    assert safe_path(wanted) == "/"


@given(st.text(max_size=40))
def test_no_text_leads_off_this_site(wanted):
    path = safe_path(wanted)

    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert said_aloud(path) != ""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", None),
        ("/incidents/214?tab=log", "INC-214"),
        ("/incidents", "Incidents"),
        ("/models/recsys-home", "recsys-home"),
        ("/settings/audit-log", "Settings, audit log"),
        ("/settings", "Settings"),
    ],
)
def test_a_path_is_said_as_people_say_it(path, said):
    assert said_aloud(path) == said
