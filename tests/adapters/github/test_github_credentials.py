from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from controller.adapters.github import credentials_from_secret
from controller.adapters.github.credentials import AppCredentials, TokenCredentials
from controller.core.model import Disposition, SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from hf_runner_simulators.github.keys import private_key, public_key_of
from tests.adapters.github.scene import TOKEN

APP = {"appId": "4711", "privateKey": private_key()}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> str:
    cipher = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher).decode()


def test_an_apps_secret_is_read_whatever_white_space_surrounds_its_values() -> None:
    found = credentials_from_secret(
        {
            "appId": " 4711\n",
            "privateKey": f"\n{private_key()}\n\n",
            "installationId": "60000001\n",
            "other": "x",
        }
    )
    assert isinstance(found, AppCredentials)
    assert (found.issuer, found.installation_id, found.key.key_size) == ("4711", 60_000_001, 2_048)


def test_a_client_id_does_as_well_as_an_app_id() -> None:
    found = credentials_from_secret({**APP, "appId": "Iv23liABCDEF12345678"})
    assert isinstance(found, AppCredentials)
    assert found.issuer == "Iv23liABCDEF12345678"


def test_a_key_whose_line_ends_were_escaped_is_read() -> None:
    escaped = private_key().strip().replace("\n", "\\n")
    assert isinstance(credentials_from_secret({**APP, "privateKey": escaped}), AppCredentials)


def test_a_tokens_secret_is_read() -> None:
    assert credentials_from_secret({"token": f"{TOKEN}\n"}) == TokenCredentials(token=TOKEN)


ARC = {
    "github_app_id": "4711",
    "github_app_installation_id": "12",
    "github_app_private_key": private_key(),
}


def test_a_secret_of_actions_runner_controller_is_read() -> None:
    theirs = credentials_from_secret(ARC)
    assert isinstance(theirs, AppCredentials)
    assert (theirs.issuer, theirs.installation_id) == ("4711", 12)
    assert credentials_from_secret({"github_token": TOKEN}) == TokenCredentials(token=TOKEN)


def test_our_own_names_go_before_those_of_actions_runner_controller() -> None:
    both = credentials_from_secret({**ARC, "appId": "1", "privateKey": private_key()})
    assert isinstance(both, AppCredentials)
    assert both.issuer == "1"


ELLIPTIC = ec.generate_private_key(ec.SECP256R1())
BASE64_TWICE = "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo="

MISTAKES = [
    ({}, "neither appId and privateKey"),
    ({"appId": "", "token": "  "}, "neither appId and privateKey"),
    ({"appId": "4711"}, "key privateKey is missing"),
    ({"privateKey": private_key()}, "key appId is missing"),
    ({**APP, "token": TOKEN}, "key token beside the key appId;"),
    ({**ARC, "github_app_id": "my-app"}, "key github_app_id is neither"),
    ({**ARC, "github_app_private_key": "s3cret garbage"}, "key github_app_private_key is not a PEM"),
    ({"github_app_id": "4711"}, "key privateKey is missing"),
    ({"github_token": "ghp_s3cret part2"}, "key github_token holds white space"),
    ({"GITHUB_TOKEN": "ghp_s3cretpart2", "b": "s3cretpart3"}, "add one or the other; it has GITHUB_TOKEN, b"),
    ({f"k{n}": "s3cretpart2" for n in range(20)}, "and 12 more"),
    ({"\x1b[2J" + "k" * 300: "s3cretpart2"}, "it has "),
    ({**APP, "appId": "my-app"}, "key appId is neither"),
    ({**APP, "appId": "-7"}, "key appId is neither"),
    ({**APP, "installationId": "acme"}, "key installationId is not a number"),
    ({**APP, "privateKey": public_key_of(private_key())}, "public key"),
    ({**APP, "privateKey": pem(ELLIPTIC)}, "not an RSA key"),
    ({**APP, "privateKey": "s3cret garbage"}, "not a PEM private key"),
    ({**APP, "privateKey": private_key()[:400]}, "not a PEM private key"),
    ({**APP, "privateKey": BASE64_TWICE}, "encoded twice"),
    ({**APP, "privateKey": pem(ELLIPTIC, b"pass")}, "encrypted"),
    ({**APP, "privateKey": pem(rsa.generate_private_key(65_537, 1_024))}, "1024 bits"),
    ({"token": "ghp_s3cret part2"}, "key token holds white space"),
    ({"token": "ghp_s3crét"}, "key token holds"),
    ({"token": "x" * 5_000}, "key token holds"),
    ({**APP, "appId": "7" * 5_000}, "key appId is neither"),
    ({**APP, "installationId": "7" * 5_000}, "key installationId is not a number"),
    ({**APP, "privateKey": "s3cret garbage" * 1_000}, "more than 4096 characters"),
    ({**APP, "privateKey": "\ud800"}, "not a PEM private key"),
]


@pytest.mark.parametrize(("data", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_a_mistake_in_a_secret_is_named_by_key_and_never_by_value(data: dict[str, str], words: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        credentials_from_secret(data, ref=SecretRef("ci", "github"))
    failure = caught.value.failure
    assert failure.reason is Reason.SecretMalformed
    assert failure.disposition is Disposition.PERSON
    assert words in failure.message
    assert failure.message.startswith("Secret ci/github: ")
    shown = (
        failure.message + repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
    )
    for value in data.values():
        for line in value.split():
            assert len(line) < 8 or line not in shown


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(credentials_from_secret(APP)) + repr(credentials_from_secret({"token": TOKEN}))
    assert TOKEN not in shown
    assert "PRIVATE KEY" not in shown
    assert "RSAPrivateKey" not in shown
