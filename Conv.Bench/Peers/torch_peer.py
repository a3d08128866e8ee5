"""PyTorch for the race: one process, lines in, a line out for each.

    prepare ID THREADS COPIES INPUT KERNEL name=value...   -> ready WAY     (the shape as ConvShape prints it; files of float32)
    sample ID REPETITIONS                                  -> seconds S
    output ID FILE                                         -> ready         (float32, of one more run)
    release ID                                             -> ready

What goes wrong comes back as `error MESSAGE`. COPIES: so many copies of the weights, used in turn. WAY: functional.conv2d, which takes weights
as they are, or modules whose weights oneDNN has packed; the faster of them on this problem, found before anything is measured. Before it answers to `sample` it waits
until its own workers have stopped spinning, so that they take nothing from who is measured next."""
import ctypes
import sys
import time

try:
    import numpy
    import torch
    import torch.nn.functional as F
    from torch.utils import mkldnn
except ImportError as missing:
    print(f"error {missing}", flush=True)
    sys.exit(3)


def calm():
    """Until a millisecond of waiting costs less than a fifth of one, a tenth of a second at most."""
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end:
        wall, used = time.perf_counter(), time.process_time()
        time.sleep(0.001)
        if time.process_time() - used < 0.2 * (time.perf_counter() - wall):
            return


def limit(threads):
    """PyTorch's own threads, and those of the BLAS below it, which PyTorch does not tell."""
    torch.set_num_threads(threads)
    try:
        ctypes.CDLL("libopenblas.so.0").openblas_set_num_threads(threads)
    except (OSError, AttributeError):
        pass  # another BLAS, whose threads are OpenMP's or one


def plain(weights, keywords):
    weights = weights.clone()
    return lambda x: F.conv2d(x, weights, **keywords)


def packed(weights, keywords):
    o, c, kh, kw = weights.shape
    module = torch.nn.Conv2d(c * keywords["groups"], o, (kh, kw), bias=False, **keywords).eval()
    module.weight.copy_(weights)
    module = mkldnn.to_mkldnn(module)
    return lambda x: module(x.to_mkldnn()).to_dense()


class Prepared:
    def __init__(self, threads, copies, source, kernel, fields):
        p = {name: int(value) for name, value in (field.split("=") for field in fields)}
        if p["pt"] != p["pb"] or p["pl"] != p["pr"]:
            raise ValueError("pads differ")
        read = lambda name, *dims: torch.from_numpy(numpy.fromfile(name, dtype=numpy.float32)).reshape(dims)
        self.x = read(source, p["n"], p["c"], p["h"], p["w"])
        weights = read(kernel, p["o"], p["c"] // p["g"], p["kh"], p["kw"])
        keywords = dict(stride=(p["sh"], p["sw"]), padding=(p["pt"], p["pl"]), dilation=(p["dh"], p["dw"]), groups=p["g"])
        self.threads = threads
        self.turn = 0
        ways = {}
        for way in (plain, packed):
            self.calls = [way(weights, keywords)]
            self.run(5)
            ways[way] = min(self.run(2)[0] for _ in range(5))
        way = min(ways, key=ways.get)
        self.way = way.__name__
        self.calls = [way(weights, keywords) for _ in range(copies)]

    def run(self, repetitions):
        limit(self.threads)
        x, calls, turn, count = self.x, self.calls, self.turn, len(self.calls)
        if repetitions > 1:  # as the runners of the other process: one before, untimed
            calls[turn](x)
        start = time.perf_counter()
        for _ in range(repetitions):
            y = calls[turn](x)
            turn = turn + 1 if turn + 1 < count else 0
        seconds = time.perf_counter() - start
        self.turn = turn
        return seconds, y


def main():
    prepared = {}
    print(f"hello {torch.__version__}", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            verb, name, *rest = line.split()
            try:
                if verb == "prepare":
                    threads, copies, source, kernel, *fields = rest
                    prepared[name] = Prepared(int(threads), int(copies), source, kernel, fields)
                    answer = f"ready {prepared[name].way}"
                elif verb == "sample":
                    seconds, _ = prepared[name].run(int(rest[0]))
                    calm()
                    answer = f"seconds {seconds!r}"
                elif verb == "output":
                    prepared[name].run(1)[1].numpy().tofile(rest[0])
                    answer = "ready"
                else:
                    del prepared[name]
                    answer = "ready"
            except (RuntimeError, ValueError, OSError) as error:
                answer = "error " + " ".join(str(error).split())
            print(answer, flush=True)


main()
