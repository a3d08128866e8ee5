# Programs that the kit must survive at the process door. The argument names what one does beside convolving.
import os, struct, sys, time
from array import array

fault = sys.argv[1]
r, w = sys.stdin.buffer, sys.stdout.buffer


def say(data):
    w.write(data)
    w.flush()


if fault == "exits":
    sys.exit(7)
if fault == "mute":
    time.sleep(60)
if fault == "text-first":
    print("Loading my convolution ...", flush=True)
if fault == "endless-greeting":
    while True:
        say(b"x" * 65536)
greetings = {
    "version": b"conv=2\n",
    "field": b"conv=1 arithmetic=perfect\n",
    "operation": b"conv=1 ops=forward,sideways\n",
}
say(greetings.get(fault, b"conv=1 ops=forward shapes=all\n"))
if fault == "errors":
    for line in range(20000):
        sys.stderr.write("a line of errors that nobody asked for\n")
if fault == "closes-input":
    os.close(0)
    time.sleep(60)

while True:
    line = r.readline()
    if not line:
        break
    f = dict(part.split("=") for part in line.decode().split())
    n, c, h, wd, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g = (
        int(f[name]) for name in "n c h w o kh kw sh sw pt pl pb pr dh dw g".split()
    )
    if fault == "answers-early":
        say(b"ok 1 1 1 1\n")
        time.sleep(0.2)
    X, K, B = (array("f", r.read(4 * int(f[name]))) for name in "xkb")
    oh = (h + pt + pb - (kh - 1) * dh - 1) // sh + 1
    ow = (wd + pl + pr - (kw - 1) * dw - 1) // sw + 1
    if fault == "hangs" or fault == "hangs-on-stride" and sh > 1:
        time.sleep(60)
    if fault == "deaf":
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    if fault == "hog":
        taken = []
        while True:
            taken.append(bytearray(os.urandom(1 << 20) * 16))
    if fault == "forks" and os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(20)
        os._exit(0)
    if fault == "closes-output":
        os.close(1)
        time.sleep(60)
    if fault == "garbage":
        say(b"the answer is 42\n")
        continue
    if fault == "endless-line":
        while True:
            say(b"x" * 65536)
    if fault == "throws" and dh > 1:
        say(b"error no dilation here\n")
        continue
    if fault == "refuses" and g > 1:
        say(b"unsupported\n")
        continue
    if fault == "dies" and sw > 1:
        os.kill(os.getpid(), 11)
    y = array("f", bytes(4 * n * o * oh * ow))
    cg, og = c // g, o // g if o else 1
    for a in range(n * o * oh * ow):
        j, i, q, b = a % ow, a // ow % oh, a // ow // oh % o, a // ow // oh // o
        s = B[q] if B else 0.0
        for ch in range(cg):
            for u in range(kh):
                for v in range(kw):
                    y0, x0 = i * sh + u * dh - pt, j * sw + v * dw - pl
                    if 0 <= y0 < h and 0 <= x0 < wd:
                        s += X[((b * c + q // og * cg + ch) * h + y0) * wd + x0] * K[((q * cg + ch) * kh + u) * kw + v]
        y[a] = struct.unpack("f", struct.pack("f", s))[0] if abs(s) < 3e38 else s
    data = y.tobytes()
    if fault == "big-endian":
        y.byteswap()
        data = y.tobytes()
    if fault == "doubles":
        data = array("d", y).tobytes()
    if fault == "short":
        data = data[:-4]
    if fault == "long":
        data += data[:4] or b"more"
    dims = (n, o, ow, oh) if fault == "shape" else (n, o, oh, ow)
    if fault == "half":
        say(b"ok %d %d %d %d\n" % dims + data[: len(data) // 2])
        os._exit(3)
    say(b"ok %d %d %d %d\n" % dims + data)
    if fault == "twice":
        say(b"ok %d %d %d %d\n" % dims + data)
    if fault == "short":
        time.sleep(60)
