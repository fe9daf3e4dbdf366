"""Ivory's random numbers: Philox-4x32-10 (Salmon et al., SC 2011), written from the paper; keys and draws as ivory/random.h."""
U32, U64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & U32, (a >> 32) ^ c[3] ^ k[1], a & U32]
        k = [(k[0] + 0x9E3779B9) & U32, (k[1] + 0xBB67AE85) & U32]
    return c


# The paper's known answers.
assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
assert philox([U32] * 4, [U32] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def scramble(x):  # SplitMix64
    x = (x + 0x9E3779B97F4A7C15) & U64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & U64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & U64
    return x ^ (x >> 31)


def mix(a, b):
    return scramble(scramble(a) ^ b)


def uniforms(seed, epoch, sample, view):
    key, stream, block = mix(seed, epoch), mix(sample, view), 0
    while True:
        bits = philox([block, 0, stream & U32, stream >> 32], [key & U32, key >> 32])
        for high, low in (bits[:2], bits[2:]):
            yield (((high >> 5) << 26) | (low >> 6)) / 2**53
        block += 1
