import pytest

from app.people.rules import SCOPES, Role, expand_scopes, refusal_of_token, refusal_to_step_down


def test_each_role_covers_itself_and_those_before_it():
    for index, role in enumerate(Role):
        assert [role.covers(other) for other in Role] == [
            place <= index for place in range(len(Role))
        ]


def test_read_stands_for_every_scope_that_reads():
    assert expand_scopes(["read"]) == sorted(scope for scope in SCOPES if scope.endswith(":read"))


def test_write_stands_for_everything():
    assert expand_scopes(["write"]) == sorted(SCOPES)


def test_scopes_are_listed_once():
    assert expand_scopes(["incidents:read", "read"]) == expand_scopes(["read"])


def test_an_unknown_scope_is_named_with_those_that_exist():
    with pytest.raises(
        ValueError, match=r"There is no scope incidents:delete\. Known: .*incidents"
    ):
        expand_scopes(["incidents:delete"])


@pytest.mark.parametrize(
    ("role", "scopes", "days", "why"),
    [
        (Role.MAINTAINER, ["registry:write"], 30, None),
        (Role.MAINTAINER, ["people:read"], 30, "Only an administrator can grant people:read."),
        (Role.RESPONDER, ["registry:write"], 30, "Only a maintainer can grant registry:write."),
        (Role.MAINTAINER, [], 30, "Choose at least one scope. A token without any can do nothing."),
        (
            Role.MAINTAINER,
            ["registry:read"],
            None,
            "Only an administrator can make a token that never expires.",
        ),
        (Role.ADMINISTRATOR, ["people:write"], None, None),
    ],
)
def test_nobody_grants_a_token_more_than_they_may_do(role, scopes, days, why):
    assert refusal_of_token(role, scopes, days) == why


def test_the_only_administrator_stays_one():
    assert refusal_to_step_down("Ada Byron", other_administrators=1) is None
    assert refusal_to_step_down("Ada Byron", other_administrators=0) == (
        "Ada Byron is the only administrator who can sign in. Make someone else administrator first."
    )
