"""PyTorch's 2-D convolution and its gradients over standard input and output. Needs torch, numpy. Run: verify exec:'python3 conv.py'"""
import sys
import torch
from torch.nn import functional, grad

print("conv=1 ops=forward,backward-input,backward-weight fma=yes", flush=True)
while line := sys.stdin.buffer.readline():
    n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g, *counts = (int(field.split(b"=")[1]) for field in line.split()[2:])
    x, k, b = (torch.tensor(memoryview(sys.stdin.buffer.read(4 * count)).cast("f").tolist()) for count in counts)
    ys = n, o, (h + pt + pb - (kh - 1) * dh - 1) // sh + 1, (w + pl + pr - (kw - 1) * dw - 1) // sw + 1
    xs, ks, args = (n, c, h, w), (o, c // g, kh, kw), dict(stride=(sh, sw), dilation=(dh, dw), groups=g)
    if 0 in (c, o):  # PyTorch raises here, or answers another size
        y = None
    elif b"op=forward" in line:
        y = functional.conv2d(functional.pad(x.view(xs), (pl, pr, pt, pb)), k.view(ks), b if len(b) else None, **args)
    elif b"op=backward-input" in line:  # of the padded image; the padding is cut away
        y = grad.conv2d_input((n, c, h + pt + pb, w + pl + pr), k.view(ks), x.view(ys), **args)[:, :, pt:pt + h, pl:pl + w]
    else:
        y = grad.conv2d_weight(functional.pad(x.view(xs), (pl, pr, pt, pb)), ks, k.view(ys), **args)
    sys.stdout.buffer.write(b"unsupported\n" if y is None else b"ok %d %d %d %d\n" % tuple(y.shape) + y.numpy().tobytes())
    sys.stdout.buffer.flush()
