"""What browsers are told about the panel: what it may load, and what nobody may do with it (pure)."""

NONCE = "GATEHOUSE_NONCE"
"""Stands in the built page wherever the nonce of an answer belongs; `vite.config.ts` says the same."""


def policy(nonce: str) -> str:
    """Content-Security-Policy. Scripts come from our own files and nowhere else: there is no inline script to allow.

    Styles have a nonce as well, because the component library writes the theme and responsive sizes into style
    elements while it runs. A nonce lets in those elements alone: injected markup does not know it.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


PLAIN_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Of what is no page of the panel."""

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    # An invitation's link holds its token, so no address of ours is told to other sites.
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
ASSET = {**EVERYWHERE, "cache-control": "public, max-age=31536000, immutable", "content-security-policy": PLAIN_POLICY}
"""The name of an asset holds the digest of its content, so what was fetched once stays right."""
PAGE = {**EVERYWHERE, "cache-control": "no-store"}
"""The page holds a nonce, which is for one answer only."""
