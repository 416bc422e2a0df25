"""`python -m gateway --role all|proxy|agent`: one node of the data plane."""

import argparse
import sys

from pydantic import ValidationError

from gateway.app import Role, run
from gateway.settings import Settings
from shared.settings import faults


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
