"""What only some credentials need is loaded with the first view that holds one of them, and by nobody else."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SCRIPT = """
import sys
import gateway.app
from tests.fakes.world import World

def loaded():
    print(*(name for name in ("botocore.auth", "google.auth.jwt") if name in sys.modules), sep=",")

world = World()
world.view()
loaded()
world.virtual_key("more", sys.argv[1], "k")
world.view()
loaded()
"""


@pytest.mark.parametrize(
    ("provider", "library"),
    [("openai", ""), ("azure-openai", ""), ("bedrock", "botocore.auth"), ("vertex-ai", "google.auth.jwt")],
)
def test_a_vendor_s_library_comes_with_the_first_key_that_wants_it(provider: str, library: str) -> None:
    command = [sys.executable, "-c", SCRIPT, provider]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == f"\n{library}\n"
