"""The process protocol, version 1 (../README.md), for the Python peers."""

import sys
import traceback

import numpy as np


class Unsupported(Exception):
    """A valid problem that the library does not take."""


class Problem:
    """The numbers of a request line (n c h w o kh kw sh sw pt pl pb pr dh dw g), and the shapes that follow from them."""

    def __init__(self, fields):
        for name in "n c h w o kh kw sh sw pt pl pb pr dh dw g".split():
            setattr(self, name, int(fields[name]))
        self.input = (self.n, self.c, self.h, self.w)
        self.weights = (self.o, self.c // self.g, self.kh, self.kw)

    def output(self):
        """Only to give the output gradients that arrive a shape."""
        rows = (self.h + self.pt + self.pb - (self.kh - 1) * self.dh - 1) // self.sh + 1
        columns = (self.w + self.pl + self.pr - (self.kw - 1) * self.dw - 1) // self.sw + 1
        return (self.n, self.o, rows, columns)

    def is_empty(self):
        return self.n == 0 or self.c == 0 or self.o == 0

    def is_same(self):
        """Whether the pads are those of SAME padding with the odd zero at the end (SAME_UPPER)."""

        def axis(size, kernel, stride, dilation, before, after):
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            return (before, after) == (total // 2, total - total // 2)

        return axis(self.h, self.kh, self.sh, self.dh, self.pt, self.pb) and axis(self.w, self.kw, self.sw, self.dw, self.pl, self.pr)


def serve(profile, ops):
    """ops: what each op of the greeting does with (problem, x, k, b); x, k and b come in their shapes, b as None if there is none."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints must not get between the replies

    def line(text):
        replies.write(text.encode() + b"\n")

    def array(count, shape=None):
        data = np.frombuffer(requests.read(4 * count), dtype="<f4").copy()
        return data if shape is None else data.reshape(shape)

    line(f"conv=1 ops={','.join(ops)} {profile}")
    replies.flush()
    while request := requests.readline():
        fields = dict(word.split("=", 1) for word in request.decode().split())
        x, k, b = (array(int(fields[name])) for name in "xkb")
        try:
            op, p = fields["op"], Problem(fields)
            x = x.reshape(p.input if op in ("forward", "backward-weight") else p.output())
            if op != "backward-bias":
                k = k.reshape(p.output() if op == "backward-weight" else p.weights)
            result = np.ascontiguousarray(ops[op](p, x, k, b if b.size > 0 else None), dtype="<f4")
            dimensions = list(result.shape) + [1] * (4 - result.ndim)
        except Unsupported:
            line("unsupported")
        except Exception as e:  # the library's own words, on one line
            traceback.print_exc()
            line("error " + " ".join(str(e).split())[:500])
        else:
            line("ok " + " ".join(map(str, dimensions)))
            replies.write(result.tobytes())
        replies.flush()
