"""Whatever a service sends becomes a bounded value, or is refused in one way."""

from __future__ import annotations

import contextlib
import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.incoming import (
    DEEPEST,
    LONGEST_INTEGER,
    LONGEST_MASKED,
    MOST_VALUES,
    UnreadableError,
    exact,
    exit_code,
    header_number,
    http_date,
    mask,
    moment,
    next_page,
    number,
    parse_json,
    redirected,
    url_of,
    wait,
    whole,
)
from controller.core.text import text

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
PEM = "-----BEGIN KEY-----\nMIIsecretsecretsecret\nline two of it\n-----END KEY-----\n"


# ------------------------------------------------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("build (3.12, ubuntu)", "build (3.12, ubuntu)"),
        ("Prüfung äöü 日本語 🤗", "Prüfung äöü 日本語 🤗"),
        ("\x1b]52;c;ZXZpbA==\x07", "�]52;c;ZXZpbA==�"),
        ("\x9b31m", "�31m"),
        ("a\x7fb", "a�b"),
        ("right\u202eto left", "right�to left"),
        ("no\u200bwidth\ufeff", "no�width�"),
        ("half \ud83d a pair", "half � a pair"),
        ("two\nlines\r\nthree\tand", "two lines three and"),
        ("a\u2028b\x85c", "a b c"),
        ("123456789012345678901", "1234567890123456789…"),
        (None, ""),
        (7, ""),
        (["x"], ""),
    ],
)
def test_text_for_people_is_cut_and_holds_nothing_that_a_terminal_acts_on(sent: object, kept: str) -> None:
    assert text(sent, 20 if isinstance(sent, str) and len(sent) == 21 else 100) == kept


def test_a_log_keeps_its_lines() -> None:
    assert text("one\r\ntwo\rthree\n\tfour\x1b[2J", 100, lines=True) == "one\ntwo\nthree\n\tfour�[2J"


@given(ANY_TEXT, st.integers(0, 40))
def test_no_text_is_longer_than_its_limit_or_holds_a_control_character(sent: str, limit: int) -> None:
    kept = text(sent, limit)
    assert len(kept) <= limit
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in kept)
    assert text(kept, limit) == kept


@pytest.mark.parametrize("sent", ["a\x00b", "x" * 65, "a\nb", 5, None])
def test_a_name_that_would_have_to_be_changed_is_none(sent: object) -> None:
    assert exact("acme/lib", 64) == "acme/lib"
    assert exact(sent, 64) is None


# ---------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize(
    "sent", [True, False, None, "5", [], math.nan, math.inf, -math.inf, 10**400, -(10**400), 101, -1, 1e300]
)
def test_what_is_no_number_within_its_range_is_none(sent: object) -> None:
    assert number(sent, 0, 100) is None
    assert whole(sent, 0, 100) is None
    assert exit_code(sent) is None or 0 <= exit_code(sent) <= 255  # type: ignore[operator]


def test_numbers_within_their_range_are_kept() -> None:
    assert number(0, 0, 100) == 0.0
    assert number(99.5, 0, 100) == 99.5
    assert whole(100, 0, 100) == 100
    assert whole(7.0, 0, 100) == 7
    assert whole(7.5, 0, 100) is None
    assert exit_code(255) == 255
    assert exit_code(256) is None


@pytest.mark.parametrize(
    "sent", [None, "", "inf", "nan", "1e300", "-1", "9" * 5000, "0x10", "٣", "1_000", "101", "1 2"]
)
def test_a_header_that_is_no_decimal_number_within_its_range_is_none(sent: str | None) -> None:
    assert header_number(sent, 0, 100) is None


def test_a_header_may_hold_white_space_and_a_fraction() -> None:
    assert header_number(" 12.5 ", 0, 100) == 12.5


# ------------------------------------------------------------------------------------------------------ times
@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("2026-11-28T16:00:00Z", 1_795_881_600.0),
        ("2026-11-28T17:00:00.500+01:00", 1_795_881_600.5),
        ("2000-01-01T00:00:00Z", 946_684_800.0),
        ("1999-12-31T23:59:59Z", None),
        ("2200-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("2026-11-28T16:00:00", None),
        ("2026-11-28", None),
        ("yesterday", None),
        ("2" * 5000, None),
        (1_795_881_600, None),
        (None, None),
    ],
)
def test_a_time_is_epoch_seconds_of_this_and_the_next_century(sent: object, seconds: float | None) -> None:
    assert moment(sent) == seconds


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("Sat, 28 Nov 2026 16:00:00 GMT", 1_795_881_600.0),
        ("Mon, 01 Jan 1900 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Sat, 28 Nov 2026 16:00:00 +9999999999", None),
        ("Sat, 28 Nov 99999999999999999999 16:00:00 GMT", None),
        ("x", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_header_is_epoch_seconds_or_none(sent: str | None, seconds: float | None) -> None:
    assert http_date(sent) == seconds


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("86400", 3_600.0),
        (30, 30.0),
        (10**400, None),
        (1e300, 3_600.0),
        (math.inf, None),
        ("Sat, 28 Nov 2026 16:01:00 GMT", 60.0),
        ("Sat, 28 Nov 2026 15:00:00 GMT", 0.0),
        ("Sun, 29 Nov 2026 16:00:00 GMT", 3_600.0),
        ("inf", None),
        ("nan", None),
        ("9" * 5000, None),
        ("-5", None),
        (-5, None),
        (math.nan, None),
        (True, None),
        ("soon", None),
        (None, None),
    ],
)
def test_nobody_makes_us_wait_for_more_than_an_hour(sent: object, seconds: float | None) -> None:
    assert wait(sent, now=1_795_881_600.0) == seconds


# ------------------------------------------------------------------------------------------------------- JSON
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no whole JSON"),
        (b"<html>", "no whole JSON"),
        (b'{"token": "ghs_x', "no whole JSON"),
        (b'"\xff\xfe\xfd"', "no whole JSON"),
        (b"[" * 90_000, f"more than {DEEPEST} levels"),
        (b"[" * 200_000, f"more than {MOST_VALUES} values"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), f"more than {DEEPEST} levels"),
        (b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), f"more than {DEEPEST} levels"),
        (b'["]]]{{[[", ' + b"[" * DEEPEST + b"]" * (DEEPEST + 1), f"more than {DEEPEST} levels"),
        (b'{"a":[' * (DEEPEST // 2) + b"[1]" + b"]}" * (DEEPEST // 2), f"more than {DEEPEST} levels"),
        (b" " * 1_000 + b"1", "1001 bytes, and 1000 are read at most"),
        (b"[" + b"1," * 50 + b"1]", "more than 50 values"),
    ],
)
def test_what_is_no_json_within_bounds_is_refused_in_one_way(body: bytes, why: str) -> None:
    limits = {"limit": 1_000} if "read at most" in why else {"values": 50} if "50 values" in why else {}
    with pytest.raises(UnreadableError) as refused:
        parse_json(body, **limits)
    assert str(refused.value) == why
    # Nothing of the body hangs on the error: it may hold a token.
    assert refused.value.__context__ is None


def test_json_within_bounds_is_read() -> None:
    deepest = b"[" * DEEPEST + b"]" * DEEPEST
    assert parse_json(deepest) is not None
    assert parse_json(b'["]]]{{[[", ' + b"[" * (DEEPEST - 1) + b"]" * DEEPEST) is not None
    assert parse_json(b"9" * LONGEST_INTEGER) == int("9" * LONGEST_INTEGER)
    assert parse_json(b'{"a": 1, "a": [2.5, null, true, "\\u00fc"]}') == {"a": [2.5, None, True, "ü"]}


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(), st.lists))
def test_json_is_read_as_the_standard_library_reads_it(document: object) -> None:
    assert parse_json(json.dumps(document).encode()) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        parse_json(body)


# ------------------------------------------------------------------------------------------------------- URLs
@pytest.mark.parametrize(
    ("sent", "origin", "kept"),
    [
        ("https://github.com/acme/lib/runs/1?x=1#2", "https://github.com", True),
        ("https://github.com:443/acme", "https://github.com", True),
        ("https://GitHub.com/acme", "https://github.com", True),
        ("http://127.0.0.1:8080/acme", "http://127.0.0.1:8080/api/v3", True),
        ("http://github.com/acme", "https://github.com", False),
        ("https://github.com.evil.example/acme", "https://github.com", False),
        ("https://evil@github.com/acme", "https://github.com", False),
        ("https://github.com:8443/acme", "https://github.com", False),
        ("javascript:alert(1)", "https://github.com", False),
        ("//github.com/acme", "https://github.com", False),
        ("https://github.com/\x1b\\\x1b]52;c;ZXZpbA==\x07", "https://github.com", False),
        ("https://github.com/a b", "https://github.com", False),
        ("https://github.com/\u202e", "https://github.com", False),
        ("https://[", "https://github.com", False),
        ("https://github.com:port/", "https://github.com", False),
        ("https://github.com/" + "h" * 1_024, "https://github.com", False),
        (5, "https://github.com", False),
        (None, "https://github.com", False),
    ],
)
def test_a_url_for_people_is_on_the_origin_that_was_asked_or_dropped(
    sent: object, origin: str, kept: bool
) -> None:
    assert url_of(sent, origin) == (sent if kept else "")


ASKED = "https://ghe.example/api/v3/orgs/acme/actions/runners?per_page=100"
SECOND = "https://ghe.example/api/v3/orgs/acme/actions/runners?per_page=100&page=2"


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        (f'<{SECOND}>; rel="next", <https://x/?page=9>; rel="last"', SECOND),
        (f'<https://x/?page=9>; rel="last", <{SECOND}>; rel="next"', SECOND),
        (f"<{SECOND}>; rel=next", SECOND),
        # GitHub names an organization by its number here; the path that was asked is as good.
        ('<https://ghe.example/api/v3/organizations/7/x?per_page=100&page=2>; rel="next"', SECOND),
        ('<https://evil.example/elsewhere?per_page=100&page=2>; rel="next"', SECOND),
        ('<?per_page=100&page=2>; rel="next"', SECOND),
        ('<https://ghe.example/x>; rel="prev"', None),
        ('<https://ghe.example/x>; rel="next"', None),
        ('<http://[>; rel="next"', None),
        ('<https://ghe.example/x?a=\x1b>; rel="next"', None),
        ("garbage", None),
        ("", None),
        (None, None),
    ],
)
def test_the_next_page_is_the_path_that_was_asked_with_another_query(
    link: str | None, followed: str | None
) -> None:
    assert next_page(link, ASKED) == followed


@pytest.mark.parametrize(
    ("location", "followed"),
    [
        ("https://ghe.example/api/v3/repositories/7?x=1", "https://ghe.example/api/v3/repositories/7?x=1"),
        ("/api/v3/repositories/7", "https://ghe.example/api/v3/repositories/7"),
        ("https://ghe.example:443/api", "https://ghe.example/api"),
        ("https://evil.example/api/v3/repositories/7", None),
        ("http://ghe.example/api", None),
        ("//evil.example/api", None),
        ("https://user@ghe.example/api", None),
        ("http://[", None),
        ("https://ghe.example:x/", None),
        ("/\x1b", None),
        ("/" + "x" * 2_000, None),
        ("", None),
        (None, None),
    ],
)
def test_a_redirect_is_followed_only_on_the_origin_that_was_asked(
    location: str | None, followed: str | None
) -> None:
    assert redirected(location, ASKED) == followed


@given(ANY_TEXT, ANY_TEXT)
def test_no_header_leads_to_another_origin(link: str, location: str) -> None:
    for found in (next_page(f'<{link}>; rel="next"', ASKED), redirected(location, ASKED)):
        assert found is None or found.startswith("https://ghe.example/")


# ---------------------------------------------------------------------------------------------------- secrets
@pytest.mark.parametrize(
    "shown",
    [
        PEM,
        json.dumps(PEM),
        " ".join(PEM.split()),
        "MIIsecretsecretsecret",
        "x" * 8_180 + " MIIsecretsecretsecret",
        "MIIsecretsecretsecret" * 100,
    ],
)
def test_a_secret_is_masked_in_whatever_form_it_comes(shown: str) -> None:
    assert "secretsecret" not in mask(f"value {shown} is too long", [PEM])


def test_a_secret_with_odd_characters_is_masked_as_json_and_urls_write_it() -> None:
    secret = 'pä"ss\\word\ud800'
    for form in (
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        "p%C3%A4%22ss%5Cword%3F",
    ):
        assert "ss" not in mask(form, [secret])


@pytest.mark.parametrize(
    "token",
    [
        "ghp_0123456789abcdefABCDEF0123456789abcd",
        "ghs_12345_eyJhbGciOi.eyJpc3MiOj.c2lnbmF0dXJl-_x",
        "github_pat_11ABCDEFG0123456789_abcdefghij",
        "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl",
        "eyJhbGciOiJSUzI1NiJ9",
        "Bearer abcdef",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        "QUJD" * 20,
    ],
)
def test_what_looks_like_a_secret_is_masked_although_nobody_knows_it(token: str) -> None:
    assert mask(f"see: {token}") == "see: [secret]"


def test_ordinary_words_are_left_alone() -> None:
    words = "Runner hf_runner gh_x eyewitness ey.ey in orgs/acme was refused (409)"
    assert mask(words, ["", "nothing of this kind"]) == words


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "word", ["ey", "-ey", "bearer ", "gh", "a" * 63 + " ", "eyJ", "-----BEGIN", "basic\n"]
)
def test_a_long_text_is_masked_within_bounds(word: str) -> None:
    # A pattern that is not linear takes minutes here, and the test's time runs out.
    assert len(mask(word * 500_000)) <= LONGEST_MASKED


def test_the_beginning_of_a_secret_that_is_cut_in_two_is_dropped() -> None:
    blob = "QUJD" * 20
    assert "QUJD" not in mask("word " * 1_636 + blob)


@given(ANY_TEXT, st.lists(ANY_TEXT, max_size=3))
def test_any_text_and_any_secrets_are_masked_without_an_error(words: str, secrets: list[str]) -> None:
    assert len(mask(words, secrets)) <= max(LONGEST_MASKED, 8 * len(words))


@pytest.mark.parametrize("odd", [b"NaN", b"-Infinity", b"1e400", b"-1e400", b"9" * 400, b"-" + b"9" * 5000])
def test_a_number_that_is_none_is_missing_and_spoils_nothing_else(odd: bytes) -> None:
    assert parse_json(b'{"total_count": ' + odd + b', "id": 7}') == {"total_count": None, "id": 7}
