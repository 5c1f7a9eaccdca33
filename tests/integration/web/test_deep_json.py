"""JSON that is nested as deep as nobody means it."""


def test_json_that_is_nested_too_deep_is_refused_and_not_our_fault(client, token):
    body = b'{"a":' * 20_000 + b"1" + b"}" * 20_000

    answer = client.post(
        "/api/v1/incidents",
        data=body,
        headers=token("incidents:write"),
        content_type="application/json",
    )

    assert answer.status_code in (400, 422)
    assert answer.mimetype == "application/problem+json"
