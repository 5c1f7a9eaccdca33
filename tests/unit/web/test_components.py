from markupsafe import Markup

from app.web.components import attributes, colour_of, initials, sentences


def test_attributes_are_escaped_and_spelled_with_hyphens():
    said = attributes({"hx_post": '/a"b', "data_close": True, "hidden": False, "id": None})

    assert said == Markup(' hx-post="/a&#34;b" data-close')


def test_an_underscore_at_the_end_escapes_a_reserved_word():
    assert attributes({"class_": "full", "for_": "x"}) == ' class="full" for="x"'


def test_initials_are_those_of_the_first_and_the_last_word():
    assert [initials(name) for name in ("Priya Raman", "Ana de la Cruz", "Baton", "")] == [
        "PR",
        "AC",
        "B",
        "",
    ]


def test_a_name_keeps_its_colour():
    assert colour_of("Priya Raman") == colour_of("Priya Raman")
    assert {colour_of(f"Person {number}") for number in range(50)} == {1, 2, 3, 4}


def test_errors_of_nested_fields_read_as_one_text():
    assert sentences(["Too long.", {"name": ["Say a name."]}, []]) == "Too long. Say a name."
