"""`python -m gateway --role all|proxy|agent`: one node of the data plane."""

import argparse
import gc
import os
import sys

gc.disable()  # All that is imported stays: looking for garbage meanwhile takes a tenth of the start and finds none.

# aiohttp, as it is loaded, makes two TLS settings that nobody here uses, and OpenSSL would read all authorities of the
# system for each: a tenth of the start again. So for that while it is told that they are in an empty file.
authorities = os.environ.get("SSL_CERT_FILE")
os.environ["SSL_CERT_FILE"] = os.devnull

import aiohttp  # noqa: E402, F401

if authorities is None:
    del os.environ["SSL_CERT_FILE"]
else:
    os.environ["SSL_CERT_FILE"] = authorities

from pydantic import ValidationError  # noqa: E402

from gateway.app import Role, run  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from shared.settings import faults  # noqa: E402

gc.freeze()  # Nor later: the first collection in each process would look through all of it.
gc.enable()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    parser.add_argument("--role", type=Role, choices=list(Role), default=Role.ALL, help="the processes to run")
    role = parser.parse_args().role
    try:
        settings = Settings()
    except ValidationError as error:
        print(*faults(error), sep="\n", file=sys.stderr)
        return 2
    return run(settings, role)


if __name__ == "__main__":
    sys.exit(main())
