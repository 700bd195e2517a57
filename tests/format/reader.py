# SPDX-License-Identifier: Apache-2.0
"""A second reader of Thaw images, written from snapshot-format/SPEC.md alone and sharing nothing with the C one.

reader.py FILE prints the image as text, or "refused". Numbers such as H3 name the rules of SPEC.md.
"""
import re
import struct
import sys

import xxhash
import zstandard

PAGE = 4096
KINDS = ["metadata", "vcpu", "ranges", "extents", "frames", "data"]
LIMITS = {  # least and most bytes, size of an entry
    "metadata": (8, 1 << 20, 1),
    "vcpu": (176, 16560, 1),
    "ranges": (24, 24 * 4096, 24),
    "extents": (0, 24 << 22, 24),
    "frames": (0, 16 << 18, 16),
    "data": (0, 263168 << 18, 1),
}
U32, U64, CPU, TEXT, LIST, DISPATCH, WORKING_SET = range(7)
FIELDS = {
    2: ("created_ns", U64), 4: ("abi_version", U32), 6: ("memory_size", U64), 8: ("timeout_ns", U64),
    10: ("boot_ns", U64), 12: ("generation", U64), 14: ("cpu", CPU), 16: ("name", TEXT), 18: ("program", TEXT),
    20: ("backend", TEXT), 22: ("cpu_level", TEXT), 24: ("creator", TEXT), 26: ("arg", LIST), 28: ("env", LIST),
    30: ("dispatch", DISPATCH), 31: ("working_set", WORKING_SET),
}
SIZES = {U32: 4, U64: 8, CPU: 64, DISPATCH: 32}
COUNTS = {"arg": (1, 1024), "env": (0, 1024), "dispatch": (0, 1), "working_set": (0, 1)}


class Refused(Exception):
    pass


def must(rule, condition):
    if not condition:
        raise Refused(rule)


def hash64(data):
    return xxhash.xxh3_64_intdigest(data)


def entries(layout, data):
    return list(struct.iter_unpack("<" + layout, data))


class Image:
    """Reads and checks everything; an image that it returns obeys every rule."""

    def __init__(self, data):
        self.data = data
        self.read_header()
        self.read_metadata()
        self.read_vcpu()
        self.read_ranges()
        self.read_frames()
        self.read_extents()
        self.decode()

    def read_header(self):
        data = self.data
        must("H1", len(data) >= 512 and data[:8] == b"\x89THAW\r\n\x1a")
        version, header_size, file_size = struct.unpack_from("<IIQ", data, 8)
        must("H2", version == 1)
        must("H3", struct.unpack_from("<Q", data, 504)[0] == hash64(data[:504]))
        must("H4", header_size == 512 and not any(data[184:504]))
        must("H5", file_size == len(data))
        self.uuid = data[24:40]
        self.place, end = {}, 512
        for kind, (offset, length, checksum) in zip(KINDS, entries("QQQ", data[40:184])):
            least, most, entry = LIMITS[kind]
            must("H6", offset == end)
            must("H7", least <= length <= most and length % entry == 0)
            self.place[kind] = (offset, length, checksum)
            end += length
        must("H6", end == len(data))
        must("H8", self.place["data"][2] == 0)

    def section(self, kind):
        offset, length, checksum = self.place[kind]
        data = self.data[offset:offset + length]
        must("H8", hash64(data) == checksum)
        return data

    def read_metadata(self):
        data, at, before = self.section("metadata"), 0, 0
        self.meta = {name: [] for name, _ in FIELDS.values()}
        while at < len(data):
            must("M1", len(data) - at >= 8)
            tag, reserved, length = struct.unpack_from("<HHI", data, at)
            at += 8
            must("M1", reserved == 0 and length <= len(data) - at)
            must("M2", tag >= before)
            if tag in FIELDS:
                name, kind = FIELDS[tag]
                self.meta[name].append(self.value(kind, data[at:at + length]))
            else:
                must("M4", tag & 1)
            at, before = at + length, tag
        for name, kind in FIELDS.values():
            least, most = COUNTS.get(name, (1, 1))
            must("M3", least <= len(self.meta[name]) <= most)
            if name not in COUNTS:
                self.meta[name] = self.meta[name][0]
        self.check_metadata()

    def value(self, kind, data):
        if kind in SIZES:
            must("M3", len(data) == SIZES[kind])
            if kind == DISPATCH:
                return struct.unpack("<4Q", data)
            return struct.unpack("<16I", data) if kind == CPU else int.from_bytes(data, "little")
        if kind == WORKING_SET:
            must("M10", len(data) % 16 == 0 and 1 <= len(data) // 16 <= 4096)
            return entries("QII", data)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("M5") from None
        must("M5", not re.search("[\0-\x1f\x7f-\x9f]", text))
        return text

    def check_metadata(self):
        meta = self.meta
        must("M6", re.fullmatch("[a-z0-9][a-z0-9._-]{0,62}", meta["name"]))
        must("M6", meta["program"] and meta["backend"] and meta["cpu_level"] and meta["creator"])
        must("M6", all(entry.find("=") > 0 for entry in meta["env"]))
        size = meta["memory_size"]
        must("M7", 0 < size <= 64 << 30 and size % PAGE == 0)
        must("M8", not any(meta["cpu"][11:]))
        for start, end, call, fault in meta["dispatch"]:
            must("M9", start < end <= 1 << 47 and start <= call < end and start <= fault < end)

    def read_vcpu(self):
        data = self.section("vcpu")
        self.registers = struct.unpack_from("<20Q", data)
        self.mask, length, reserved = struct.unpack_from("<QII", data, 160)
        self.xsave = data[176:]
        must("V1", len(self.xsave) == length and reserved == 0)
        must("V2", 576 <= length <= 16384 or (length == 0 and self.mask == 0))
        if length:
            (in_use,) = struct.unpack_from("<Q", self.xsave, 512)
            must("V3", in_use & ~self.mask == 0 and not any(self.xsave[520:576]))

    def read_ranges(self):
        self.ranges, end = [], 0
        for start, length, permissions, reserved in entries("QQII", self.section("ranges")):
            must("R1", reserved == 0)
            must("R2", start % PAGE == 0 and length % PAGE == 0 and length > 0 and start + length <= 1 << 47)
            must("R3", start >= end)
            must("R4", permissions in (1, 3, 5))
            self.ranges.append((start, length, permissions))
            end = start + length
        self.mapped = sum(length for _, length, _ in self.ranges)
        must("R5", self.mapped <= self.meta["memory_size"])
        for pieces in self.meta["working_set"]:
            self.check_working_set(pieces)

    def check_working_set(self, pieces):
        end = 0
        for start, pages, written in pieces:
            must("M10", start % PAGE == 0 and pages > 0 and written <= 1 and start >= end)
            end = start + pages * PAGE
            must("M11", any(first <= start and end <= first + length and (permissions & 2 or not written)
                            for first, length, permissions in self.ranges))
        must("M12", sum(pages for _, pages, _ in pieces) <= 16384)
        must("M12", sum(pages for _, pages, written in pieces if written) <= 4096)

    def read_frames(self):
        offset, page, self.frames = self.place["data"][0], 0, []
        table = entries("IIQ", self.section("frames"))
        full = table[0][1] if len(table) > 1 else 64
        must("F1", full in (8, 16, 32, 64))
        for number, (length, pages, checksum) in enumerate(table):
            must("F1", pages == full or (number == len(table) - 1 and 1 <= pages <= full))
            must("F2", 10 <= length <= 263168)
            self.frames.append((offset, length, pages, page, checksum))
            offset, page = offset + length, page + pages
        must("F3", offset == len(self.data))
        self.stored = page

    def read_extents(self):
        self.extents, end, current = [], 0, 0
        named = bytearray(self.stored)
        for start, length, first in entries("QQQ", self.section("extents")):
            must("E1", start % PAGE == 0 and length % PAGE == 0 and length > 0)
            must("E2", start >= end)
            end = start + length
            while current < len(self.ranges) and sum(self.ranges[current][:2]) <= start:
                current += 1
            must("E2", current < len(self.ranges) and start >= self.ranges[current][0])
            must("E2", end <= sum(self.ranges[current][:2]))
            pages = length // PAGE
            must("E3", first + pages <= self.stored)
            named[first:first + pages] = b"\1" * pages
            self.extents.append((start, length, first))
        must("E4", all(named))

    def decode(self):
        store = []
        for offset, length, pages, _, checksum in self.frames:
            data = self.data[offset:offset + length]
            must("F4", hash64(data) == checksum)
            must("F5", data[:4] == b"\x28\xb5\x2f\xfd" and data[4] & 0x3f == 0x20)
            try:
                must("F5", zstandard.get_frame_parameters(data).content_size == pages * PAGE)
                decoder = zstandard.ZstdDecompressor().decompressobj()
                raw = decoder.decompress(data)
            except zstandard.ZstdError:
                raise Refused("F6") from None
            must("F5", decoder.eof and not decoder.unused_data)
            must("F6", len(raw) == pages * PAGE)
            store.append(raw)
        self.store = b"".join(store)

    def text(self):
        meta = self.meta
        out = ["uuid " + self.uuid.hex()]
        for name, kind in FIELDS.values():
            if kind == DISPATCH:
                out += ["dispatch" + "".join(f" {value:#x}" for value in values) for values in meta[name]]
            elif kind == WORKING_SET:
                out += ["touched %#x %d %d" % entry for entry in (meta[name] or [[]])[0]]
            elif kind == CPU:
                out.append("cpu" + "".join(f" {word:08x}" for word in meta[name]))
            else:
                out += [f"{name} {value}" for value in (meta[name] if kind == LIST else [meta[name]])]
        out.append("registers" + "".join(f" {register:016x}" for register in self.registers))
        out.append(f"xsave {self.mask:016x} {len(self.xsave)} {hash64(self.xsave):016x}")
        out += [f"range {start:#x} {length:#x} {prot}" for start, length, prot in self.ranges]
        out += ["frame %d %d %d %d %016x" % frame for frame in self.frames]
        covered = sum(length for _, length, _ in self.extents)
        out.append(f"sizes {self.mapped} {covered} {len(self.store)} {len(self.data)}")
        for start, length, first in self.extents:
            memory = self.store[first * PAGE:first * PAGE + length]
            out.append(f"extent {start:#x} {length:#x} {first} {hash64(memory):016x}")
        return "\n".join(out) + "\n"


def tell(data):
    """Returns the image as text, or the reason why it is refused."""
    try:
        return Image(data).text(), None
    except Refused as refusal:
        return "refused\n", str(refusal)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        print(tell(file.read())[0], end="")
