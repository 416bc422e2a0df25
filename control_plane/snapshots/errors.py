"""What can be wrong with what a snapshot is made of."""


class BuildError(Exception):
    """`where` is a file or a path into the content (`workspaces[0].configs[1].slug`); no message holds a secret."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where
        self.message = message


def at(*parts: str | int) -> str:
    """A path as people write it: `workspaces[0].virtual_keys[1].provider`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
