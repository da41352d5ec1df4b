import json
import random
import string
import traceback

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analytics_lib.records import MESSAGE_BYTES, ExecutionStart
from collector_agent.redaction import KEPT_CHARACTERS, clean_message, clean_name, mask, mask_name

MASKED = {
    "mail to ada.lovelace+rpa@mail.example.co.uk failed": "mail to <mail> failed",
    "müller@straße.de schrieb": "<mail> schrieb",
    "open https://shop.example/reset?for=ada%40example.org now": (
        "open https://shop.example/reset?for=<mail> now"
    ),
    "card 4111 1111 1111 1111 declined": "card <card> declined",
    "card 4111-1111-1111-1111 declined": "card <card> declined",
    "amex 3782 822463 10005": "amex <card>",
    "IBAN DE89 3704 0044 0532 0130 00 unknown": "IBAN <iban> unknown",
    "IBAN GB29NWBK60161331926819.": "IBAN <iban>.",
    "customer 123456789": "customer <number>",
    "customer KD123456789012": "customer KD<number>",
    "call +49 170 1234567": "call <phone>",
    "ssn 123-45-6789": "ssn <id>",
    "Authorization: Bearer abc.def-123_x": "Authorization: Bearer <hidden>",
    "Authorization: Basic dXNlcjpwdw==": "Authorization: Basic <hidden>",
    "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl": "jwt <hidden>",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "<hidden>",
    "key sk-proj-abcdefghijklmnopqrst": "key <hidden>",
    "AKIAIOSFODNN7EXAMPLE": "<hidden>",
    "password=hunter2 user=bob": "password=<hidden> user=bob",
    "pwd: x": "pwd: <hidden>",
    "DB_PASSWORD='a b c' next": "DB_PASSWORD='<hidden>' next",
    '{"api_key": "k-1234", "n": 1}': '{"api_key": "<hidden>", "n": 1}',
    "Server=db;Password=a,b;Timeout=5": "Server=db;Password=<hidden>;Timeout=5",
    "GET /cb?token=abcd1234&page=2": "GET /cb?token=<hidden>&page=2",
    "client_secret = s3cr3t": "client_secret = <hidden>",
    "<password>hunter2</password>": "<password><hidden>",
    "https://ada:pw@host/path": "https://<hidden>@host/path",
    "postgresql://rpa:p@ssw0rd@db.example:5432/rpa": "postgresql://<hidden>@db.example:5432/rpa",
    "postgresql://rpa:pa/ssw0rd@db.example:5432/rpa": "postgresql://<hidden>@db.example:5432/rpa",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": "sha256 <hidden>",
    "blob kQ8vXz3JmP0aLw7RtY2uBn5CdE6fGh1I/+A=": "blob <hidden>",
    "card 4111 1111 1111 1112 declined": "card <number> declined",
    "IBAN DE88 3704 0044 0532 0130 00": "IBAN DE88 <number>",
    "paid 4111.1111.1111.1111 today": "paid <card> today",
    "two 1234 4111 1111 1111 1111": "two <card>",
    "BE68 5390 0754 7034 PAID OVER": "<iban> PAID OVER",
    "call 0170 1234567 or (030) 1234-567": "call <phone> or <phone>",
    "appelez 06 12 34 56 78": "appelez <phone>",
    "nino AB123456C, dni 12345678Z": "nino <id>, dni <id>",
    "RSSMRA85T10A562S and 756.9217.0769.85": "<id> and <id>",
    "BSN 111222333": "BSN <id>",
    "Steuer-ID 86 095 742 719": "Steuer-ID <id>",
    "Contraseña: abc, mot de passe = xyz": "Contraseña: <hidden> mot de passe = <hidden>",
    r"{\"password\": \"hunter2\"}": r"{\"password\": <hidden>",
    "callback?password%3Dhunter2": "callback?password%3D<hidden>",
    "https://x.blob.example/a?sv=1&sig=abcd1234": "https://x.blob.example/a?sv=1&sig=<hidden>",
    "PIN: 1234": "PIN: <hidden>",
    "aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "aws <hidden>",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nxy\n-----END RSA PRIVATE KEY-----\nend": "<hidden>\nend",
}

KEPT = [
    "invoice 4711-0815 of 12345678 is missing",
    "2025-11-24T02:39:45.123456Z and 2025-11-24 02:39:45 and 2025-11-24T02:39:45.123456789Z",
    "report_20251124-023945.pdf, run 20251124_023945",
    "run 550e8400-e29b-41d4-a716-446655440000 failed",
    "/home/robot/Invoices2024/in/2024-11/reader_v2/output-final.xml",
    r"C:\Users\Robot 7\Documents\Invoices 2024\list.xlsx",
    "3.141592653589793 is not 1234.50 nor 1e-12 nor 0.1234567890123e5",
    "codes 200 404 500 and sizes 12 15 18 22 31",
    "object at 0x7f1234567890 in module TestInvoice2024ProcessorFactoryBuilder",
    "SyntaxError: Unexpected token: }",
    "the password is wrong, ask for another token",
    "10.0.12.255:8080 did not answer https://example.org:8080/a/b?c=d#e",
    "pip install package@1.2.3, decorator @property",
    "keyword_with_many_words_that_goes_on_and_on_2024 took 12.5 s",
    "1,234,567,890.00 EUR",
    "",
    "naïve Ünïcode — 日本語 ✓",
]


@pytest.mark.parametrize("text", MASKED)
def test_secrets_and_personal_data_are_masked(text: str) -> None:
    assert mask(text) == MASKED[text]


@pytest.mark.parametrize("text", KEPT)
def test_normal_text_is_kept(text: str) -> None:
    assert mask(text) == text
    assert clean_message(text) == text


def letters_and_digits(seed: int, length: int, alphabet: str) -> str:
    draw = random.Random(seed)  # noqa: S311  # made-up secrets
    return "".join(draw.choice(alphabet) for _ in range(length))


alnum = string.ascii_letters + string.digits
seeds = st.integers(0, 2**32)
passwords = st.text(string.ascii_letters + string.digits + "!$%*+-_.,:<>()[]{}/@#?", min_size=6, max_size=30)
secrets = st.one_of(
    passwords.flatmap(
        lambda word: st.sampled_from(
            ["password={}", "pwd: {}", "passwort = {}", "api_key={}", "secret: {}"]
        ).map(lambda form: (form.format(word), word))
    ),
    seeds.map(lambda seed: letters_and_digits(seed, 40, alnum)).map(lambda t: (f"ghp_{t}", t)),
    seeds.map(lambda seed: "7" + letters_and_digits(seed, 30, alnum)).map(lambda t: (f"Bearer {t}", t)),
    seeds.map(lambda seed: "a1" + letters_and_digits(seed, 40, "0123456789abcdef")).map(lambda t: (t, t)),
    st.text("0123456789", min_size=9, max_size=30).map(lambda t: (t, t)),
    st.text("0123456789", min_size=16, max_size=16)
    .map(lambda t: " ".join(t[i : i + 4] for i in range(0, 16, 4)))
    .map(lambda t: (t, t)),
    st.text("0123456789", min_size=18, max_size=18)
    .map(lambda t: f"DE{t[:2]} " + " ".join(t[i : i + 4] for i in range(2, 18, 4)))
    .map(lambda t: (t, t[5:])),
    st.from_regex(r"[a-z]{3,10}\.[a-z]{3,10}@[a-z]{3,10}\.(com|de|org)", fullmatch=True).map(
        lambda t: (t, t.split("@")[0])
    ),
    st.tuples(
        st.from_regex(r"[a-z]{3,9}", fullmatch=True), st.from_regex(r"[A-Za-z0-9!$*]{6,12}", fullmatch=True)
    ).map(lambda t: (f"https://{t[0]}:{t[1]}@host.example/x", t[1])),
)
prose = st.text(
    st.one_of(
        st.sampled_from(string.ascii_letters + " \n\t,;:.=@-_/'\"<>[]{}()"), st.characters(codec="utf-8")
    ),
    max_size=60,
)
fragments = st.lists(
    st.one_of(prose, secrets.map(lambda s: s[0]), st.sampled_from(sorted(MASKED))), max_size=6
)


@given(secrets, prose, prose)
def test_a_planted_secret_never_comes_through(secret: tuple[str, str], before: str, after: str) -> None:
    planted, value = secret
    assume(value not in before and value not in after and planted.count(value) == 1)
    assert value not in mask(f"{before} {planted} {after}")


@given(fragments, st.sampled_from(["", " ", "\n", "="]))
def test_masking_twice_changes_nothing(parts: list[str], between: str) -> None:
    once = mask(between.join(parts))
    assert mask(once) == once


@given(
    st.lists(
        st.one_of(st.text(), st.sampled_from(["\0", "\ud800", "\x1b[31m", "\r\n", "a@b.de "])), max_size=8
    )
)
def test_a_cleaned_message_can_be_stored_and_is_cleaned_for_good(parts: list[str]) -> None:
    cleaned = clean_message("".join(parts))
    assert clean_message(cleaned) == cleaned
    cleaned.encode()
    assert not [c for c in cleaned if c < " " and c not in "\n\t"]


@pytest.mark.parametrize(
    "piece",
    [
        "a", "1", "@", "a@", "a@a.", "%40", "a%40a", "://", "://a:b", "password", "password=", "pwd_",
        "eyJ", "eyJaaaaa.", "-eyJ", "éeyJa", "bearer ", "bearer a", "sk-", "ghp_", "github_pat_", "AKIA",
        "1-", "1 ", "1234 ", "123-", "1.", "+1", "AB12", "A/", "aB3", "aB3_", "-----BEGIN PRIVATE KEY-----",
        "\"", "password=\"", "password='\\", "0x1", "12345678-1234-", "\x1b[", "\x1b[1;",
        "authorization: basic ", "DE89 ", "0 00 00 ", "AAAAAA00",
    ],
)  # fmt: skip
def test_a_quarter_of_a_megabyte_made_to_be_slow_is_masked_all_the_same(piece: str) -> None:
    """Behaviour, not speed: one expression that backtracks would keep this test for hours."""
    text = (piece * (250_000 // len(piece)))[:250_000]
    assert mask(text + "!").endswith(("!", "<hidden>", ">"))


def test_long_messages_keep_their_first_16_kilobytes_and_no_half_secret_at_the_cut() -> None:
    card = "4111 1111 1111 1111"
    for shift in range(25):
        text = ("word " * 5_000)[: KEPT_CHARACTERS - shift] + card + " end" * 10
        cleaned = clean_message(text)
        assert "41" not in cleaned
        assert KEPT_CHARACTERS - 1_024 < len(cleaned) <= KEPT_CHARACTERS


def test_a_message_of_one_endless_word_is_cut_too() -> None:
    assert len(clean_message("x" * 10_000_000)) <= KEPT_CHARACTERS


def test_messages_are_stripped_of_what_databases_refuse_but_keep_their_lines() -> None:
    assert clean_message("a\0b\ud800c\r\nd\te\x1b[31mred\x1b[0m") == "a\ufffdb\ufffdc\nd\tered"


class _NoText:
    def __str__(self) -> str:
        raise RuntimeError("broken")


def test_anything_has_a_message() -> None:
    assert clean_message(None) == ""
    assert clean_message(12.5) == "12.5"
    assert clean_message(ValueError("bad ada@example.org")) == "bad <mail>"
    assert clean_message(_NoText()) == "<_NoText without text: RuntimeError>"


def test_a_traceback_stays_readable() -> None:
    try:
        json.loads("{")
    except ValueError:
        text = traceback.format_exc()
    assert mask(text) == text


def test_names_become_one_line_and_fit() -> None:
    assert clean_name(" Read\nthe\tmail\0 ", 200) == "Read the mail"
    assert clean_name("a\ud800b", 200) == "a\ufffdb"
    assert len(clean_name("ä" * 10_000, 500).encode()) <= 500
    assert clean_name(None, 10) == ""


@given(st.text(max_size=400), st.integers(30, 200))
def test_a_cleaned_name_is_a_valid_one(text: str, limit: int) -> None:
    name = clean_name(text, limit)
    assert len(name.encode()) <= limit
    from datetime import UTC, datetime

    ExecutionStart(execution_id="e", workflow_id=name or "w", started_at=datetime.now(UTC))


def test_a_masked_message_still_fits_the_record() -> None:
    assert len(clean_message("word " * 50_000).encode()) > MESSAGE_BYTES  # the record cuts and flags it


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Read 20251124093000", "Read 20251124093000"),
        ("9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d659a2feaa0c55ad015"),
        ("V1StGXR8_Z5jdHi6B-myT", "V1StGXR8_Z5jdHi6B-myT"),
        ("order 471100000815", "order 471100000815"),
        ("order 4111111111111111", "order <card>"),
        ("for ada@example.org", "for <mail>"),
        ("key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "key <hidden>"),
    ],
)
def test_names_keep_the_numbers_and_strings_that_ids_are_made_of(name: str, kept: str) -> None:
    assert mask_name(name) == kept == clean_name(name, 200)
