"""nginx as a reverse proxy, the yardstick of what little a proxy can cost, where it is on the PATH."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.processes import accepts
from embedded.part import Part


def part(program: str, folder: Path, port: int, upstream_port: int, environment: Mapping[str, str]) -> Part:
    """One worker, keep-alive on both sides, bodies in memory, no log, streams not held back."""
    file = folder / "nginx.conf"
    file.write_text(_configuration(folder, port, upstream_port))
    command = (program, "-p", str(folder), "-c", str(file), "-e", "stderr")
    return Part("nginx", command, environment, ready=partial(accepts, port))


def _configuration(folder: Path, port: int, upstream_port: int) -> str:
    rooms = "\n".join(
        f"    {room}_temp_path {folder / f'nginx-{room}'};"
        for room in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
worker_processes 1;
pid {folder / "nginx.pid"};
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
{rooms}
    client_body_buffer_size 256k;
    keepalive_requests 1000000000;
    upstream bench {{
        server 127.0.0.1:{upstream_port};
        keepalive 4096;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
