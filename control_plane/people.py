"""How people are named at the doors: e-mail address, name, password."""

from typing import Annotated

from pydantic import ConfigDict, Field, SecretStr, StringConstraints

from control_plane.web.route import Body

PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 1_000

Email = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[!-?A-~]+@[!-?A-~]+$")
]
"""ASCII, and lower case from here on: lower case means the same to every database only there."""
PersonName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
NewPassword = Annotated[SecretStr, Field(min_length=PASSWORD_CHARS_MIN, max_length=PASSWORD_CHARS_MAX)]
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]


class PasswordBody(Body):
    """A body that holds a password, of which not even spaces at its ends are taken away."""

    model_config = ConfigDict(str_strip_whitespace=False)
