"""Passwords are taken out of texts, and nothing else is."""

import logging

import pytest

from dgsweep.config.secrets import ScrubbingFormatter, holds_password, without_password


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("https://me:pa55@mlflow.lab:5000/x", "https://mlflow.lab:5000/x"),
        ("postgresql+psycopg2://me:p%40ss@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        ("postgresql://db/mlflow?sslmode=require&password=pa55", "postgresql://db/mlflow?sslmode=require&password=..."),
        ("s3://b?AWS_SECRET=x&region=eu", "s3://b?AWS_SECRET=...&region=eu"),
        ("header Authorization: Bearer abcdef012345", "header Authorization: Bearer ..."),
        ("tried http://a:b@c/ and http://d:e@f/", "tried http://c/ and http://f/"),
    ],
)
def test_what_is_secret_is_taken_out(text: str, scrubbed: str) -> None:
    assert without_password(text) == scrubbed
    assert holds_password(text)
    assert not holds_password(scrubbed)


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////data/mlflow.db",
        "http://mlflow:5000/?token_count=3",
        "C1/T1W @ 3 T",
        "me@lab.org",
        "basic segmentation",
    ],
)
def test_what_is_not_secret_stays(text: str) -> None:
    assert without_password(text) == text
    assert not holds_password(text)


def test_a_log_line_and_its_traceback_hold_no_password() -> None:
    try:
        raise OSError("no route to http://me:pa55@mlflow/")
    except OSError as error:
        record = logging.LogRecord("x", 30, "", 0, "%s failed", ("http://me:pa55@mlflow/",), (OSError, error, None))
    assert "pa55" in logging.Formatter().format(record)
    assert "pa55" not in ScrubbingFormatter().format(record)
