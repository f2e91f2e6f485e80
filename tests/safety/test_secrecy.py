"""Passwords and keys: found in texts, and in none of them afterwards."""

from __future__ import annotations

import pytest

from seglab.errors import ConfigError
from seglab.safety.secrets import is_secret_name, redacted, secret_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql+psycopg2://u:p@h:1/d", "postgresql+psycopg2://u:***@h:1/d"),
        ("see http://a:b@c and https://d:e@f.", "see http://a:***@c and https://d:***@f."),
        ("http://user:a@b@host/x", "http://user:***@host/x"),
        ("postgresql://u:pa/ss@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("mysql://root:p@ss:w/o#r?d@host/db", "mysql://root:***@host/db"),
        ("http://h/x?password=hunter2&a=1", "http://h/x?password=***&a=1"),
        ("postgresql://h/db?user=u&password=p@w&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("https://k3y@host/x", "https://***@host/x"),
        ("https://k3y@host:5000/x@y", "https://***@y"),
        ("http://:pw@host", "http://:***@host"),
        ("a=http://u:p@h,http://v:q@k", "a=http://u:***@h,http://v:***@k"),
        ("tracking.password=hunter2", "tracking.password=***"),
        ('{"uri": "http://u:p\\"w@h", "of": "a@b"}', '{"uri": "http://u:***@h", "of": "a@b"}'),
        ('{"db": {"api_key": "q\\"r"}, "seed": 1}', '{"db": {"api_key": "***"}, "seed": 1}'),
        ("pushed ghp_abcdefghijklmnopqrstuvwxyz01", "pushed ***"),
    ],
)
def test_what_is_secret_is_replaced_by_stars(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/path@x",
        "https://host/a/b@2.0",
        "postgresql://user@host/db",
        "a: b@c",
        "tokens=5 seed=1",
        "val_dice=0.5",
        "author@example.org",
        "file:///data/a@b",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("line", "code", "is_secret"),
    [
        ("password: hunter2", False, True),
        ("API_KEY=abc", False, True),
        ("  db_password: 's3cret'", False, True),
        ("uri: postgresql://u:p@h", False, True),
        ("uri: https://h/?password=abc", False, True),
        ('PASSWORD = "hunter2"', True, True),
        ('connect(user="me", password="hunter2")', True, True),
        ("-----BEGIN RSA PRIVATE KEY-----", False, True),
        ("password: null", False, False),
        ("password: ${oc.env:PASSWORD}", False, False),
        ("token = uuid.uuid4().hex", True, False),
        ("def f(token: str) -> None:", True, False),
        ('f"http://{user}:{password}@{host}"', True, False),
        ("tokens: 5", False, False),
        ("name: unet", False, False),
    ],
)
def test_lines_with_secrets_are_known_and_what_is_stated_of_them_tells_nothing(
    line: str, code: bool, is_secret: bool
) -> None:
    found = secret_in(line, code)
    assert (found is not None) == is_secret
    assert "hunter2" not in str(found)


def test_names_of_secrets() -> None:
    assert all(map(is_secret_name, ("password", "api_key", "db.password", "AUTH_TOKEN", "aws_secret_access_key")))
    assert not any(map(is_secret_name, ("tokens", "key", "name", "passes", "keys")))


def test_an_error_tells_neither_a_password_nor_anything_that_a_terminal_obeys() -> None:
    error = ConfigError(
        "a thing", where="http://u:hunter2@h", found="\x1b[2Jname\x07\x9b\u202e", remedy="line one\nline two"
    )
    assert "hunter2" not in str(error)
    assert "\\x1b[2Jname\\x07\\x9b\\u202e" in str(error)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(str(error))
    assert "line one\nline two" in str(error)
