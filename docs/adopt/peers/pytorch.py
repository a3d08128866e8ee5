"""PyTorch on the CPU as a subject.

    verify exec:'/usr/bin/python3 pytorch.py'         explicit padding
    verify exec:'/usr/bin/python3 pytorch.py same'    padding="same", which PyTorch has for a stride of 1: the problems whose padding that is

F.conv2d pads symmetrically; other padding is put around the image by F.pad first, as PyTorch's own padding="same" does. Gradients are
autograd's, through the padding. conv_transpose2d has no other padding either: its result is cut instead.

Refused: what the library throws at for an empty batch or for no channels. Anything else that it throws is reported as an error.
NNPACK, where a build has it, may choose Winograd or FFT: such a build declares no arithmetic.
"""

import sys

import torch
import torch.nn.functional as F

import peer

same = sys.argv[1:] == ["same"]


def refusing_empty(op):
    def checked(p, x, k, b):
        try:
            return op(p, torch.from_numpy(x), torch.from_numpy(k), None if b is None else torch.from_numpy(b)).detach().numpy()
        except RuntimeError as e:
            if p.is_empty():
                print(e, file=sys.stderr)
                raise peer.Unsupported from e
            raise

    return checked


def convolution(p, x, k, b):
    if same:
        if not (p.is_same() and p.sh == p.sw == 1):
            raise peer.Unsupported
        return F.conv2d(x, k, b, 1, "same", (p.dh, p.dw), p.g)
    if (p.pt, p.pl) == (p.pb, p.pr):
        return F.conv2d(x, k, b, (p.sh, p.sw), (p.pt, p.pl), (p.dh, p.dw), p.g)
    return F.conv2d(F.pad(x, (p.pl, p.pr, p.pt, p.pb)), k, b, (p.sh, p.sw), 0, (p.dh, p.dw), p.g)


def forward(p, x, k, b):
    with torch.no_grad():
        return convolution(p, x, k, b)


def gradient(p, x, k, b, dy, of):
    y = convolution(p, x, k, b)
    return torch.autograd.grad(y, of, dy)[0]


def backward_input(p, dy, k, _):
    x = torch.zeros(p.input, requires_grad=True)
    return gradient(p, x, k, None, dy, x)


def backward_weight(p, x, dy, _):
    k = torch.zeros(p.weights, requires_grad=True)
    return gradient(p, x, k, None, dy, k)


def backward_bias(p, dy, _, __):
    b = torch.zeros(p.o, requires_grad=True)
    return gradient(p, torch.zeros(p.input), torch.zeros(p.weights), b, dy, b)


def transposed(p, y, k, b):
    # The result without padding, then what the padding cuts off. Rows that no window reaches are output_padding, which is to be less
    # than the stride or the dilation: so it is by the definition of the output's size.
    symmetric = (p.pt, p.pl) == (p.pb, p.pr)
    pads = (p.pt, p.pl) if symmetric else (0, 0)
    rows = p.h + p.pt + p.pb - ((y.shape[2] - 1) * p.sh + (p.kh - 1) * p.dh + 1)
    columns = p.w + p.pl + p.pr - ((y.shape[3] - 1) * p.sw + (p.kw - 1) * p.dw + 1)
    with torch.no_grad():
        x = F.conv_transpose2d(y, k, b, (p.sh, p.sw), pads, (rows, columns), p.g, (p.dh, p.dw))
    return x if symmetric else x[:, :, p.pt : x.shape[2] - p.pb, p.pl : x.shape[3] - p.pr]


ops = {"forward": forward, "backward-input": backward_input, "backward-weight": backward_weight, "backward-bias": backward_bias}
if not same:
    ops["transposed"] = transposed
nnpack = getattr(torch, "_nnpack_available", lambda: False)()
peer.serve(f"arithmetic={'opaque' if nnpack else 'any-order'} fma=yes" + (" pads=same-upper strides=1x1" if same else ""),
           {name: refusing_empty(op) for name, op in ops.items()})
