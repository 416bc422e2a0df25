"""What the gateways of the bench serve, as the TOML file a snapshot is made from.

For each thing whose cost is asked there is a config, and an API key whose default it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.workloads import EMBEDDING_MODEL, MODEL
from shared.crypto.api_keys import new_api_key
from shared.crypto.secret import Secret

PLAIN, CACHED, OVERRIDDEN, BALANCED, CONDITIONAL = "plain", "cached", "overridden", "balanced", "conditional"
MESSAGES, CONTENTS, SECURE = "messages", "contents", "secure"
CONFIGS = {
    PLAIN: '{ virtual_key = "chats" }',
    CACHED: '{ virtual_key = "chats", cache = { mode = "simple", max_age = 3600 } }',
    OVERRIDDEN: '{ virtual_key = "chats", override_params = { temperature = 0.5 } }',
    BALANCED: '{ strategy = { mode = "loadbalance" }, retry = { attempts = 3 }, targets = ['
    '{ virtual_key = "chats", weight = 3 }, { virtual_key = "chats", weight = 1 }] }',
    CONDITIONAL: '{ strategy = { mode = "conditional", default = "other", conditions = ['
    '{ query = { "metadata.team" = { "$eq" = "search" } }, then = "chats" }] }, targets = ['
    '{ name = "chats", virtual_key = "chats" }, { name = "other", virtual_key = "chats" }] }',
    MESSAGES: '{ virtual_key = "messages" }',
    CONTENTS: '{ virtual_key = "contents" }',
    SECURE: '{ virtual_key = "secure" }',
}
"""By slug, each as a TOML table."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Scheme, host and port of the upstream, and of the one that speaks TLS, if there is one."""

    plain: str
    secure: str | None = None


def new_keys() -> dict[str, Secret]:
    """An API key for each config."""
    return {slug: new_api_key() for slug in CONFIGS}


def source(gateway: str, upstreams: Upstreams, keys: Mapping[str, Secret], resources: int = 0) -> str:
    """The file; with `resources` it holds so many API keys and configs besides that nobody uses."""
    providers = {
        "chats": ("openai", f"{upstreams.plain}/v1"),
        MESSAGES: ("anthropic", f"{upstreams.plain}/v1"),
        CONTENTS: ("gemini", f"{upstreams.plain}/v1beta"),
        SECURE: ("openai", f"{upstreams.secure or upstreams.plain}/v1"),
    }
    parts = [f'gateway = "{gateway}"\n[organisation]\nid = "org_bench"\nname = "Bench"\n']
    for name, (dialect, url) in providers.items():
        parts.append(_provider(name, dialect, url))
    parts.append('[[workspaces]]\nid = "ws_bench"\nslug = "bench"\nname = "Bench"\n')
    parts += [_key(slug, slug, key) for slug, key in keys.items()]
    parts += [_virtual_key(name) for name in providers]
    parts += [_config(slug, body) for slug, body in CONFIGS.items()]
    for number in range(resources // 2):
        parts += [_key(f"spare{number}", PLAIN, new_api_key()), _config(f"spare{number}", CONFIGS[BALANCED])]
    return "".join(parts)


def _provider(name: str, dialect: str, url: str) -> str:
    """Every provider has both models, so that a bare name leads to the key's default config; and they have prices."""
    lines = [f'[[providers]]\nid = "{name}"\nname = "{name}"\ndialect = "{dialect}"\nbase_url = "{url}"\n']
    for model, kind in ((MODEL, "chat"), (EMBEDDING_MODEL, "embedding")):
        lines.append(f'[[models]]\nprovider = "{name}"\nname = "{model}"\ntype = "{kind}"\n')
        lines.append(
            f'[[prices]]\nid = "pr_{name}_{kind}"\nprovider = "{name}"\nmodel = "{model}"\nvalid_from = 2026-01-01\n'
            'amounts = { input_usd_per_mtok = "0.15", output_usd_per_mtok = "0.6" }\n'
        )
    return "".join(lines)


def _key(name: str, config: str, key: Secret) -> str:
    return (
        f'[[workspaces.api_keys]]\nid = "ak_{name}"\nname = "{name}"\nkey = "{key.reveal_text()}"\n'
        f'default_config = "{config}"\n'
    )


def _virtual_key(name: str) -> str:
    return (
        f'[[workspaces.virtual_keys]]\nslug = "{name}"\nname = "{name}"\nprovider = "{name}"\n'
        'credential = { api_key = "sk-bench-0123456789abcdef0123456789abcdef" }\n'
    )


def _config(slug: str, body: str) -> str:
    return f'[[workspaces.configs]]\nslug = "{slug}"\nname = "{slug}"\nbody = {body}\n'
