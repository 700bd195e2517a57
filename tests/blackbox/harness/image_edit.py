# SPDX-License-Identifier: Apache-2.0
"""Changes to an image file that keep it well-formed: the checksums are computed anew."""
import struct

import xxhash

CPU_TAG = 14  # snapshot-format/SPEC.md, 3


def hash64(data):
    return struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(data)))


def with_cpu_features(image, word, bits):
    """IMAGE, with BITS added to a word of the CPU features that its guest saw."""
    data = bytearray(image)
    offset, length = struct.unpack_from("<QQ", data, 40)  # the section table's first entry: metadata
    at = offset
    while at < offset + length:
        tag, _, size = struct.unpack_from("<HHI", data, at)
        at += 8
        if tag == CPU_TAG:
            (old,) = struct.unpack_from("<I", data, at + 4 * word)
            struct.pack_into("<I", data, at + 4 * word, old | bits)
        at += size
    data[40 + 16:40 + 24] = hash64(data[offset:offset + length])
    data[504:512] = hash64(data[:504])
    return bytes(data)


def with_changed_frame(image, number, change):
    """IMAGE, after CHANGE(bytearray) has changed the compressed bytes of frame NUMBER in place; all checksums are right."""
    data = bytearray(image)
    sections = [struct.unpack_from("<QQ", data, 40 + 24 * i) for i in range(6)]
    (table, table_length), (start, _) = sections[4], sections[5]
    lengths = [struct.unpack_from("<I", data, at)[0] for at in range(table, table + table_length, 16)]
    first = start + sum(lengths[:number])
    frame = data[first:first + lengths[number]]
    change(frame)
    data[first:first + lengths[number]] = frame
    entry = table + 16 * number
    data[entry + 8:entry + 16] = hash64(frame)
    data[40 + 24 * 4 + 16:40 + 24 * 4 + 24] = hash64(data[table:table + table_length])
    data[504:512] = hash64(data[:504])
    return bytes(data)
