"""Credentials that are exchanged for a token first, through a whole gateway, at the very addresses of their issuers.

Google's, Microsoft's and Amazon's are pinned to their hosts. Here these names lead to endpoints of ours, which
hold what they are shown against what the issuers say of it. The token that they grant is the only one that the
providers take, and no credential holds it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import openai
import orjson
import pytest
from anthropic import Anthropic
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from openai import OpenAI

from embedded.simulator.manners import ACCESS_KEY_ID
from tests.conformance.test_every_adapter import ANSWERED, CALLED, DOORS, QUESTION, Clients, Seen
from tests.fixtures.far_hosts import FarHosts, far_hosts
from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

EMAIL = "caller@project-1.iam.gserviceaccount.com"
TENANT, CLIENT_ID, CLIENT_SECRET = "tenant-1", "client-1", "an application's secret".replace(" ", "-")
ROLE, REGION = "arn:aws:iam::123456789012:role/caller", "eu-central-1"
USERS_ID, USERS_SECRET = "AKIAUSER", "a-user-s-secret"
GOOGLE, ENTRA, STS = "oauth2.googleapis.com", "login.microsoftonline.com", f"sts.{REGION}.amazonaws.com"
VERTEX, AZURE = "us-east5-aiplatform.googleapis.com", "acme.openai.azure.com"
BEDROCK = f"bedrock-runtime.{REGION}.amazonaws.com"
ISSUERS = {"vertex": GOOGLE, "azure": ENTRA, "bedrock": STS}
HOSTS = {"vertex": VERTEX, "azure": AZURE, "bedrock": BEDROCK}
WORDS = {"vertex": "assertion", "azure": "client_secret", "bedrock": "RoleArn"}
"""What only the one issuer is asked by."""
REFUSALS = {
    "vertex": "no token is granted: invalid_grant",
    "azure": "no token is granted: invalid_client",
    "bedrock": "the role cannot be taken: SignatureDoesNotMatch",
}
GRANTED_S = 3_600


@dataclass
class Issuers:
    """The three endpoints. What they grant, and what each was asked that it granted something for."""

    token: str
    key: rsa.RSAPrivateKey
    granted: list[dict[str, str]] = field(default_factory=list)

    def google(self, target: str, _: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        asked = _form(body)
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            # Google's own: the signature, the time, and for whom it is.
            claims: Mapping[str, Any] = jwt.decode(
                asked["assertion"], public, audience="https://oauth2.googleapis.com/token"
            )
        except (KeyError, ValueError):
            return 400, orjson.dumps({"error": "invalid_grant"})
        scope = "https://www.googleapis.com/auth/cloud-platform"
        known = target == "/token" and asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return self._grant(known and claims["iss"] == EMAIL and claims["scope"] == scope, asked)

    def entra(self, target: str, _: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        wanted = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": "https://cognitiveservices.azure.com/.default",
        }
        asked = _form(body)
        return self._grant(target == f"/{TENANT}/oauth2/v2.0/token" and asked == wanted, asked)

    def sts(self, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        asked = _form(body)
        # By the vendor's own signer, over what came, with the user's secret.
        names = {"content-type": headers["content-type"], "host": headers["host"], "x-amz-date": headers["x-amz-date"]}
        request = AWSRequest("POST", f"https://{STS}/", names, body)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(Credentials(USERS_ID, USERS_SECRET), "sts", REGION)
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        scope = f"{headers['x-amz-date'][:8]}/{REGION}/sts/aws4_request"
        shown = f"Credential={USERS_ID}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        known = target == "/" and asked["Action"] == "AssumeRole" and asked["RoleArn"] == ROLE
        if not known or headers["authorization"] != f"AWS4-HMAC-SHA256 {shown}":
            return 403, b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        self.granted.append(asked)
        ends = (datetime.now(UTC) + timedelta(seconds=GRANTED_S)).isoformat()
        session = {"AccessKeyId": ACCESS_KEY_ID, "SecretAccessKey": self.token, "SessionToken": "t", "Expiration": ends}
        told = "".join(f"<{name}>{value}</{name}>" for name, value in session.items())
        return 200, f"<AssumeRoleResult><Credentials>{told}</Credentials></AssumeRoleResult>".encode()

    def _grant(self, known: bool, asked: dict[str, str]) -> tuple[int, bytes]:
        if not known:
            return 401, orjson.dumps({"error": "invalid_client"})
        self.granted.append(asked)
        told = {"access_token": self.token, "token_type": "Bearer", "expires_in": GRANTED_S}
        return 200, orjson.dumps(told)


@dataclass(frozen=True)
class Far:
    clients: Clients
    hosts: FarHosts
    issuers: Issuers


def _form(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


def _account(key: rsa.RSAPrivateKey) -> str:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    # What a key file says of where it is to be sent counts for nothing.
    elsewhere = {"token_uri": "https://elsewhere.test/token"}
    return orjson.dumps({"client_email": EMAIL, "private_key": private, "private_key_id": "k1", **elsewhere}).decode()


def _use(stack: Stack, key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    place = {"project": "project-1", "location": "us-east5"}
    application = {"resource": "acme", "api_version": "2024-10-21", "tenant_id": TENANT, "client_id": CLIENT_ID}
    user = {"region": REGION, "role_arn": ROLE, "access_key_id": USERS_ID}
    for slug, provider, credential in (
        ("vertex", "vertex-ai", {**place, "service_account": _account(key)}),
        ("azure", "azure-openai", {**application, "client_secret": CLIENT_SECRET}),
        ("bedrock", "bedrock", {**user, "secret_access_key": USERS_SECRET}),
        ("bedrock-refused", "bedrock", {**user, "secret_access_key": "another"}),
        ("vertex-refused", "vertex-ai", {**place, "service_account": _account(other)}),
        ("azure-refused", "azure-openai", {**application, "client_secret": "another"}),
    ):
        row = {"slug": slug, "name": slug, "provider": provider, "credential": credential}
        stack.workspace["virtual_keys"].append(row)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder: Path = tmp_path_factory.mktemp("far")
    stack = Stack(folder / "stack")
    issuers = Issuers(stack.simulator_key, rsa.generate_private_key(public_exponent=65_537, key_size=2_048))
    hosts = {
        GOOGLE: issuers.google,
        ENTRA: issuers.entra,
        STS: issuers.sts,
        BEDROCK: stack.simulator_port,
        VERTEX: stack.simulator_port,
        AZURE: stack.simulator_port,
    }
    with far_hosts(folder / "hosts", hosts) as there:
        stack.settings |= there.settings
        _use(stack, issuers.key)
        try:
            stack.start()
            options: Any = {"api_key": stack.api_key, "max_retries": 0, "timeout": HANG_S}
            with (
                OpenAI(base_url=f"{stack.url}/v1", **options) as one,
                Anthropic(base_url=stack.url, **options) as other,
            ):
                yield Far(Clients(one, other), there, issuers)
        finally:
            stack.stop()


@pytest.mark.parametrize("slug", HOSTS)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chat_goes_with_the_token_that_the_issuer_grants(far: Far, slug: str, door: str, stream: bool) -> None:
    model = f"@{slug}/sim-chat"
    assert DOORS[door](far.clients, model, stream=stream, result=False) == CALLED
    assert DOORS[door](far.clients, model, stream=stream, result=True) == Seen(ANSWERED)
    assert ISSUERS[slug] in far.hosts.asked
    assert HOSTS[slug] in far.hosts.asked
    assert set(far.hosts.asked) <= {*ISSUERS.values(), *HOSTS.values()}, "a key file sends nobody elsewhere"


@pytest.mark.parametrize("slug", HOSTS)
def test_a_token_is_asked_for_once_by_each_worker(far: Far, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-chat", "messages": [{"role": "user", "content": QUESTION}]}
    for _ in range(8):
        far.clients.openai.chat.completions.create(**asked)
    assert 1 <= len([one for one in far.issuers.granted if WORDS[slug] in one]) <= 2, "the stack has two workers"


@pytest.mark.parametrize("slug", HOSTS)
def test_whoever_the_issuer_refuses_is_told_so_and_never_reaches_the_provider(far: Far, slug: str) -> None:
    before = far.hosts.asked.count(HOSTS[slug])
    with pytest.raises(openai.APIStatusError) as refused:
        far.clients.openai.chat.completions.create(
            model=f"@{slug}-refused/sim-chat", messages=[{"role": "user", "content": QUESTION}]
        )
    assert refused.value.code == "credential_unavailable"
    assert REFUSALS[slug] in refused.value.message
    assert far.hosts.asked.count(HOSTS[slug]) == before
