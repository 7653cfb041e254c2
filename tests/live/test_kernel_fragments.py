# SPDX-License-Identifier: BSD-2-Clause
"""The kernel as a judge of fragments: it joins the echo request that we cut, and cuts the reply
that we join. No daemon takes part."""

import os
import random
import socket
import struct

import pytest

import fragments
import lab as lab_module

PEER = {4: "198.51.100.1", 6: "2001:db8:2::1"}
ICMP, ICMPV6 = 1, 58


@pytest.fixture(scope="module")
def cable():
    with lab_module.Wire() as network:
        yield network


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(version, number, data):
    """An echo request from the peer, whole."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    ends = socket.inet_pton(family, PEER[version]) + socket.inet_pton(family, lab_module.ADDRESS["phoenix"][version])
    if version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), number, 0, 64, ICMP, 0)
        head = head[:10] + struct.pack("!H", checksum(head + ends)) + ends
        pseudo = b""
    else:
        head = struct.pack("!IHBB", 6 << 28, 8 + len(data), ICMPV6, 64) + ends
        pseudo = ends + struct.pack("!II", 8 + len(data), ICMPV6)
    message = struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 77, number) + data
    return head + message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]


def is_reply_fragment(version):
    def wanted(packet):
        if packet.version != version:
            return False
        if version == 4:
            return packet.proto == ICMP and struct.unpack_from("!H", packet.ip, 6)[0] & 0x3FFF
        return packet.ip[6] == lab_module.PROTO_FRAGMENT
    return wanted


@pytest.mark.parametrize("version", (4, 6))
@pytest.mark.parametrize("size,mtu", ((1473, 1280), (3000, 1500), (9000, 1300), (60000, 1500)))
def test_echo(cable, version, size, mtu):
    number, data = size % 1000, os.urandom(size)
    pieces = fragments.cut(echo(version, number, data), mtu, size)
    assert len(pieces) > 1
    random.Random(size).shuffle(pieces)
    cable.drain()
    for piece in pieces:
        cable.send(piece)
    replies, joined = [], []
    while not joined:
        packet = cable.receive(is_reply_fragment(version))
        assert packet, f"the kernel did not answer {len(pieces)} fragments; {len(replies)} of its own came"
        replies.append(packet.ip)
        joined = fragments.join(replies) if len(replies) * 1480 >= size else []
    assert len(replies) > 1 and len(joined) == 1
    message = joined[0][20 if version == 4 else 40:]
    assert message[:2] == (b"\0\0" if version == 4 else b"\x81\0")
    assert message[4:] == struct.pack("!HH", 77, number) + data


def test_echo_damaged(cable):
    """A piece that is missing is seen: neither side makes anything of the rest."""
    pieces = fragments.cut(echo(4, 5, os.urandom(3000)), 1500, 5)
    cable.drain()
    for piece in pieces[1:]:
        cable.send(piece)
    assert cable.receive(lambda packet: packet.proto == ICMP, seconds=0.5) is None
    assert fragments.join(pieces[1:]) == []
