"""A 2-D convolution in plain Python that answers over standard input and output: protocol 1 of docs/adopt/README.md.
Nothing to build. Run: verify exec:'python3 conv.py'"""
import sys
from array import array
from itertools import product

print("conv=1 deterministic=yes shapes=all", flush=True)
while line := sys.stdin.buffer.readline():
    n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g, *counts = (int(field.split(b"=")[1]) for field in line.split()[2:])
    x, k, b = (array("f", sys.stdin.buffer.read(4 * count)) for count in counts)
    ho, wo = (h + pt + pb - (kh - 1) * dh - 1) // sh + 1, (w + pl + pr - (kw - 1) * dw - 1) // sw + 1
    y = array("f")  # sums are Python's doubles; what is too large for a float32 becomes infinite here
    for m, p, i, j in product(range(n), range(o), range(ho), range(wo)):
        total = b[p] if b else 0.0
        for q, u, v in product(range(c // g), range(kh), range(kw)):
            channel, row, column = p // (o // g) * (c // g) + q, i * sh + u * dh - pt, j * sw + v * dw - pl
            if 0 <= row < h and 0 <= column < w:
                total += x[((m * c + channel) * h + row) * w + column] * k[((p * (c // g) + q) * kh + u) * kw + v]
        y.append(total)
    sys.stdout.buffer.write(b"ok %d %d %d %d\n" % (n, o, ho, wo) + y.tobytes())
    sys.stdout.buffer.flush()
