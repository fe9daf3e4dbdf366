"""Prints a TensorBoard event file as JSON lines; fails on anything malformed.

Written from the TFRecord format and event.proto alone: length (u64), masked CRC-32C of it, data, masked CRC-32C of it.
"""
import json
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def check(data, masked):
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    crc = ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF
    if crc != crc32c(data):
        sys.exit(f"checksum {crc:#x}, expected {crc32c(data):#x}")


def records(data):
    while data:
        length, length_crc = struct.unpack_from("<QI", data)
        check(data[:8], length_crc)
        body = data[12 : 12 + length]
        (body_crc,) = struct.unpack_from("<I", data, 12 + length)
        check(body, body_crc)
        yield body
        data = data[16 + length :]


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
            if len(value) != size:
                sys.exit("a field ends beyond its record")
        elif kind == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            sys.exit(f"wire type {kind}")
        yield key >> 3, value


def event(record):
    seen = dict(fields(record))
    line = {"time": seen[1], "step": seen.get(2, 0)}
    if 3 in seen:
        line["version"] = seen[3].decode()
    if 5 in seen:
        line["values"] = {}
        for number, value in fields(seen[5]):
            entry = dict(fields(value))
            assert number == 1
            line["values"][entry[1].decode()] = entry[2]
    return line


assert crc32c(b"123456789") == 0xE3069283
with open(sys.argv[1], "rb") as file:
    for record in records(file.read()):
        print(json.dumps(event(record)))
