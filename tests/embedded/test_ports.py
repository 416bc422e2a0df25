"""Ports: one number moves them all, and a taken one is named with its holder."""

import os
import socket

import pytest

from embedded.ports import LOOPBACK, Ports, PortTaken


def test_offset_moves_every_port() -> None:
    usual, moved = (Ports(offset).listed(LOOPBACK) for offset in (0, 100))
    assert [(part, port + 100) for part, _, port in usual] == [(part, port) for part, _, port in moved]


def test_only_the_planes_leave_the_loopback() -> None:
    outside = [part for part, host, _ in Ports(0).listed("0.0.0.0") if host != LOOPBACK]
    assert outside == ["control_plane", "gateway"]


def test_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    ports = Ports.free(LOOPBACK)
    everything = {"gateway", "redis", "simulator"}
    ports.check(LOOPBACK, everything)
    with socket.create_server((LOOPBACK, ports.redis)):
        ports.check(LOOPBACK, {"gateway", "simulator"})
        with pytest.raises(PortTaken) as refusal:
            ports.check(LOOPBACK, everything)
    said = str(refusal.value)
    assert f"port {ports.redis} (redis) is taken by process {os.getpid()} (" in said
    assert "--port-offset" in said
    assert "\n" not in said


def test_an_address_that_is_not_this_machines_is_not_called_taken() -> None:
    ports = Ports.free(LOOPBACK)
    with pytest.raises(PortTaken, match=f"port {ports.gateway} \\(gateway\\) of 192.0.2.1 cannot be had: ") as refusal:
        ports.check("192.0.2.1", {"gateway", "redis"})
    assert "taken" not in str(refusal.value)


def test_free_offset_steps_over_a_taken_port() -> None:
    first = Ports.free(LOOPBACK)
    with socket.create_server((LOOPBACK, first.simulator)):
        assert Ports.free(LOOPBACK).offset > first.offset


@pytest.mark.parametrize("host", ["192.0.2.1", "nobody.invalid"])
def test_no_free_offset_is_looked_for_where_the_address_is_at_fault(host: str) -> None:
    with pytest.raises(PortTaken, match=f"of {host} cannot be had: "):
        Ports.free(host)
