"""`python -m control_plane.catalogue CSV`: writes `models.jsonl` anew from a table of model facts."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path

from control_plane.catalogue.catalogue import FILE, encode, parse
from control_plane.catalogue.convert import convert


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/catalogue", description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument(
        "--valid-from",
        type=date.fromisoformat,
        default=datetime.now(UTC).date(),
        metavar="YYYY-MM-DD",
        help="the day from which prices that are new hold; today by default",
    )
    arguments = parser.parse_args()
    before = parse(FILE.read_bytes()) if FILE.exists() else []
    with arguments.csv.open(newline="") as file:
        entries = convert(file, before, arguments.valid_from)
    data = encode(entries)
    parse(data)
    FILE.write_bytes(data)
    priced = sum(bool(entry.prices) and entry.prices[-1].known for entry in entries)
    print(f"{len(entries)} models, {priced} with a price, in {FILE}")


if __name__ == "__main__":
    main()
