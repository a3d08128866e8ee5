"""PyTorch for the race: one process, lines in, a line out for each.

    prepare ID THREADS COPIES INPUT KERNEL name=value...   -> ready         (the shape as ConvShape prints it; files of float32)
    sample ID REPETITIONS                                  -> seconds S
    output ID FILE                                         -> ready         (float32, of one more run)
    release ID                                             -> ready

What goes wrong comes back as `error MESSAGE`. COPIES: so many copies of the weights, used in turn. Before it answers to `sample` it waits
until its own workers have stopped spinning, so that they take nothing from who is measured next."""
import sys
import time

try:
    import numpy
    import torch
    import torch.nn.functional as F
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


class Prepared:
    def __init__(self, threads, copies, source, kernel, fields):
        p = {name: int(value) for name, value in (field.split("=") for field in fields)}
        if p["pt"] != p["pb"] or p["pl"] != p["pr"]:
            raise ValueError("pads differ")
        read = lambda name, *dims: torch.from_numpy(numpy.fromfile(name, dtype=numpy.float32)).reshape(dims)
        self.x = read(source, p["n"], p["c"], p["h"], p["w"])
        weights = read(kernel, p["o"], p["c"] // p["g"], p["kh"], p["kw"])
        self.weights = [weights.clone() for _ in range(copies)]
        self.keywords = dict(stride=(p["sh"], p["sw"]), padding=(p["pt"], p["pl"]), dilation=(p["dh"], p["dw"]), groups=p["g"])
        self.threads = threads
        self.turn = 0

    def run(self, repetitions):
        torch.set_num_threads(self.threads)
        conv2d, x, weights, keywords, turn, count = F.conv2d, self.x, self.weights, self.keywords, self.turn, len(self.weights)
        if repetitions > 1:  # as the runners of the other process: one before, untimed
            conv2d(x, weights[turn], **keywords)
        start = time.perf_counter()
        for _ in range(repetitions):
            y = conv2d(x, weights[turn], **keywords)
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
                    answer = "ready"
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
