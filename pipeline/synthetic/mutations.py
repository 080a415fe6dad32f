"""Damage to files, as by transfers, disks and attackers. Each mutation turns bytes into bytes, from a seed.

Blind damage is anywhere in the file; informed damage finds the fields that a reader trusts (ISO/IEC 14496-12 for mp4
boxes, RFC 8794 for EBML sizes, RFC 9559 for Matroska's elements) and gives them extreme values.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

EXTREMES_32 = (0, 1, 2, 7, 8, 0x7F, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
EXTREMES_16 = (0, 1, 2, 3, 15, 17, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
BOX_NAMES = tuple(
    b"ftyp moov mvhd trak tkhd edts elst mdia mdhd hdlr minf stbl stsd avc1 avcC hvcC stts ctts stss stsc stsz stco "
    b"co64 mdat udta pasp colr".split()
)
TABLE_BOXES = tuple(b"stts ctts stss stsc stsz stco elst mvhd mdhd tkhd stsd".split())
"""Boxes whose first words are counts, times, sizes and offsets."""
SAMPLE_ENTRIES = tuple(b"avc1 hev1 hvc1 mp4v av01 vp09".split())
ENTRY_WIDTH_OFFSET = 28
"""Bytes from the name of a visual sample entry to its width, which its height follows (ISO/IEC 14496-12, 12.1.3)."""
EBML_IDS = {
    "TimestampScale": b"\x2a\xd7\xb1",
    "Duration": b"\x44\x89",
    "PixelWidth": b"\xb0",
    "PixelHeight": b"\xba",
    "DefaultDuration": b"\x23\xe3\x83",
    "CodecPrivate": b"\x63\xa2",
    "Cluster": b"\x1f\x43\xb6\x75",
    "Timestamp": b"\xe7",
    "SimpleBlock": b"\xa3",
    "Tracks": b"\x16\x54\xae\x6b",
    "Cues": b"\x1c\x53\xbb\x6b",
    "SeekHead": b"\x11\x4d\x9b\x74",
    "Segment": b"\x18\x53\x80\x67",
}
PNG_SIZE_OFFSET = 16
"""Width and height in a png's IHDR (PNG specification, 11.2.1)."""


def mutate(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Damage a file in one to three ways; returns their names, joined, and the damaged bytes."""
    names = [rng.choice(tuple(MUTATIONS)) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    for name in names:
        data = MUTATIONS[name](data, rng)
    return "+".join(names), data


def splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """One file after another, or the head of one with the tail of another."""
    if rng.random() < 0.5:
        return data + other
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Flip single bits: one, a few, or one in a hundred bytes."""
    out = bytearray(data)
    for _ in range(min(rng.choice((1, 4, 32, len(out) // 100 + 1)), 4096) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def flip_header_bits(data: bytes, rng: random.Random) -> bytes:
    """Flip bits in the first 400 bytes, or in the last."""
    if len(data) < 800:
        return flip_bits(data, rng)
    if rng.random() < 0.5:
        return flip_bits(data[:400], rng) + data[400:]
    return data[:-400] + flip_bits(data[-400:], rng)


def zero_run(data: bytes, rng: random.Random) -> bytes:
    """A run of zeros, like a block that was never written."""
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def random_run(data: bytes, rng: random.Random) -> bytes:
    """A run of noise."""
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def delete_chunk(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def repeat_chunk(data: bytes, rng: random.Random) -> bytes:
    """A piece once more, or many times, but no more than a mebibyte of it."""
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * min(rng.choice((1, 2, 50)), (1 << 20) // max(end - start, 1)) + data[end:]


def shuffle_chunks(data: bytes, rng: random.Random) -> bytes:
    """Cut into pieces of one size and put together in another order."""
    size = max(rng.choice((16, 256, 4096)), len(data) // 64, 1)
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    first, last = sorted((rng.randrange(len(chunks) + 1), rng.randrange(len(chunks) + 1)))
    middle = chunks[first:last]
    rng.shuffle(middle)
    return b"".join(chunks[:first] + middle + chunks[last:])


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Break off anywhere, often early."""
    return data[: rng.choice((rng.randrange(len(data) + 1), rng.randrange(min(len(data), 2000) + 1)))]


def cut_front(data: bytes, rng: random.Random) -> bytes:
    """Begin anywhere."""
    return data[rng.randrange(len(data) + 1) :]


def box_size(data: bytes, rng: random.Random) -> bytes:
    """Give a box of an mp4 an extreme size."""
    at = _find(data, rng, BOX_NAMES)
    return data if at < 4 else _put(data, at - 4, struct.pack(">I", rng.choice(EXTREMES_32)))


def box_name(data: bytes, rng: random.Random) -> bytes:
    """Give a box of an mp4 another box's name, so that it is nested where it must not be."""
    at = _find(data, rng, BOX_NAMES)
    return data if at < 0 else _put(data, at, rng.choice(BOX_NAMES))


def table_word(data: bytes, rng: random.Random) -> bytes:
    """Give a count, time, offset or scale in an mp4's tables an extreme value."""
    at = _find(data, rng, TABLE_BOXES)
    if at < 0:
        return data
    return _put(data, at + 4 + 4 * rng.randrange(12), struct.pack(">I", rng.choice(EXTREMES_32)))


def sample_entry_size(data: bytes, rng: random.Random) -> bytes:
    """Declare an absurd width and height in an mp4's sample entry."""
    at = _find(data, rng, SAMPLE_ENTRIES)
    if at < 0:
        return data
    return _put(data, at + ENTRY_WIDTH_OFFSET, struct.pack(">HH", rng.choice(EXTREMES_16), rng.choice(EXTREMES_16)))


def ebml_size(data: bytes, rng: random.Random) -> bytes:
    """Give an element of a Matroska file another length, of the same width in bytes; all ones is 'unknown'."""
    at, width, _ = _element(data, rng)
    if at < 0:
        return data
    marker = 1 << (7 * width)
    value = rng.choice((0, 1, 2, marker - 1, marker - 2, marker >> 1, rng.randrange(marker)))
    return _put(data, at, (marker | value).to_bytes(width, "big"))


def ebml_value(data: bytes, rng: random.Random) -> bytes:
    """Give an element of a Matroska file an extreme value: sizes in pixels, scales, times."""
    at, width, size = _element(data, rng)
    if at < 0:
        return data
    size = min(size, 8)
    return _put(
        data, at + width, rng.choice((bytes(size), b"\xff" * size, b"\x7f" + b"\xff" * 7, rng.randbytes(size)))[:size]
    )


def image_size(data: bytes, rng: random.Random) -> bytes:
    """Declare an absurd size in a png or jpeg."""
    if data.startswith(b"\x89PNG"):
        return _put(data, PNG_SIZE_OFFSET, struct.pack(">II", rng.choice(EXTREMES_32), rng.choice(EXTREMES_16)))
    frame_header = data.find(b"\xff\xc0")
    if data.startswith(b"\xff\xd8") and frame_header > 0:
        return _put(data, frame_header + 5, struct.pack(">HH", rng.choice(EXTREMES_16), rng.choice(EXTREMES_16)))
    return flip_header_bits(data, rng)


BLIND = (
    flip_bits,
    flip_header_bits,
    zero_run,
    random_run,
    delete_chunk,
    repeat_chunk,
    shuffle_chunks,
    truncate,
    cut_front,
)
INFORMED = (box_size, box_name, table_word, sample_entry_size, ebml_size, ebml_value, image_size)
MUTATIONS: dict[str, Mutation] = {mutation.__name__: mutation for mutation in (*BLIND, *INFORMED)}


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    """A piece of a file: most often short, at times up to a quarter of it."""
    start = rng.randrange(len(data) + 1)
    length = rng.choice((1, 4, 64, 1024, len(data) // 4))
    return start, min(start + length, len(data))


def _find(data: bytes, rng: random.Random, names: tuple[bytes, ...]) -> int:
    """Where one of the names occurs, chosen among those that do; -1 if none does."""
    places = [at for name in names if (at := data.find(name)) >= 0]
    return rng.choice(places) if places else -1


def _element(data: bytes, rng: random.Random) -> tuple[int, int, int]:
    """Of a random element of a Matroska file: the offset, width in bytes and value of its length; or -1, 0, 0."""
    if not data.startswith(b"\x1a\x45\xdf\xa3"):
        return -1, 0, 0
    identifier = rng.choice(tuple(EBML_IDS.values()))
    at = data.find(identifier, 40) + len(identifier)
    if at < len(identifier) or at >= len(data) or not data[at]:
        return -1, 0, 0
    width = 9 - data[at].bit_length()
    return at, width, int.from_bytes(data[at : at + width], "big") & ((1 << (7 * width)) - 1)


def _put(data: bytes, at: int, value: bytes) -> bytes:
    """Overwrite, without going past the end."""
    value = value[: max(len(data) - at, 0)]
    return data[:at] + value + data[at + len(value) :]
