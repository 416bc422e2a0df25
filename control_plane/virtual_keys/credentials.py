"""What people fill into a credential's form, checked, as the bytes that are sealed (pure)."""

import orjson
from pydantic import ValidationError

from control_plane.web import problem
from shared.crypto.secret import Secret
from shared.models.credential import FORMS, CredentialForm


def parse_credential(form: CredentialForm, given: Secret) -> Secret:
    """`given`, the JSON of a form, as the bytes that are sealed. Raises Invalid below the pointer `/credential`."""
    try:
        return FORMS[form].model_validate(orjson.loads(given.reveal())).sealable()
    except ValidationError as error:
        raise problem.invalid_body(error, within="/credential", code="credential_invalid") from None
