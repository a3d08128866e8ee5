"""A 2-D convolution with NumPy that answers over standard input and output: protocol 1 of docs/adopt/README.md.
Nothing to build; it needs numpy. Run: verify exec:'python3 conv.py'"""
import sys
import numpy as np

np.seterr(all="ignore")  # an overflow is an infinity, and no warning
print("conv=1 shapes=all", flush=True)
while line := sys.stdin.buffer.readline():
    n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g, *counts = (int(field.split(b"=")[1]) for field in line.split()[2:])
    x, k, b = (np.frombuffer(sys.stdin.buffer.read(4 * count), "<f4").astype(float) for count in counts)
    ho, wo = (h + pt + pb - (kh - 1) * dh - 1) // sh + 1, (w + pl + pr - (kw - 1) * dw - 1) // sw + 1
    x = np.pad(x.reshape(n, g, c // g, h, w), ((0, 0), (0, 0), (0, 0), (pt, pb), (pl, pr)))
    k = k.reshape(g, o // g, c // g, kh, kw)
    y = np.zeros((n, g, o // g, ho, wo)) + (b.reshape(g, o // g, 1, 1) if len(b) else 0)
    for u, v in np.ndindex(kh, kw):  # for each tap: the part of the image that it sees, times its weights
        seen = x[..., u * dh:u * dh + (ho - 1) * sh + 1:sh, v * dw:v * dw + (wo - 1) * sw + 1:sw]
        y += np.einsum("ngcij,goc->ngoij", seen, k[..., u, v])
    sys.stdout.buffer.write(b"ok %d %d %d %d\n" % (n, o, ho, wo) + y.astype("<f4").tobytes())
    sys.stdout.buffer.flush()
