"""OpenCV's dnn module as a subject: a network of one Conv layer.

    verify exec:'/usr/bin/python3 opencv_dnn.py'         pads as numbers
    verify exec:'/usr/bin/python3 opencv_dnn.py same'    auto_pad=SAME_UPPER: the problems whose padding that is

A network gets into cv2.dnn through a file format only: here an ONNX model of a few bytes in memory. The layer's fusion with others has
nothing to work on; the weights are constants of the model.

Refused: an empty batch and no channels, which the module's blobs cannot be. Whatever else it throws is reported as an error. Whether
the layer chooses Winograd is the version's affair (4.7 and later do): those declare no arithmetic.
"""

import sys

import cv2
import numpy

import peer

same = sys.argv[1:] == ["same"]


# Protocol buffers: a field is its number and wire type, then a varint (0) or a length and bytes (2).
def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def nested(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


# onnx.proto: AttributeProto, TensorProto, ValueInfoProto, NodeProto, GraphProto, ModelProto.
def ints(name, values):
    return nested(5, nested(1, name) + b"".join(number(8, v) for v in values) + number(20, 7))


def text(name, value):
    return nested(5, nested(1, name) + nested(4, value) + number(20, 3))


def tensor(name, a):
    return nested(5, b"".join(number(1, d) for d in a.shape) + number(2, 1) + nested(8, name) + nested(9, a.astype("<f4").tobytes()))


def value(field, name, shape):
    dimensions = b"".join(nested(1, number(1, d)) for d in shape)
    return nested(field, nested(1, name) + nested(2, nested(1, number(1, 1) + nested(2, dimensions))))


def model(p, k, b):
    node = nested(1, "x") + nested(1, "k") + (nested(1, "b") if b is not None else b"") + nested(2, "y") + nested(3, "conv") + nested(4, "Conv")
    node += ints("kernel_shape", (p.kh, p.kw)) + ints("strides", (p.sh, p.sw)) + ints("dilations", (p.dh, p.dw))
    node += nested(5, nested(1, "group") + number(3, p.g) + number(20, 2))
    node += text("auto_pad", "SAME_UPPER") if same else ints("pads", (p.pt, p.pl, p.pb, p.pr))
    graph = nested(1, node) + nested(2, "g") + tensor("k", k) + (tensor("b", b) if b is not None else b"")
    graph += value(11, "x", p.input) + value(12, "y", ())  # the output's size is the importer's to find
    return number(1, 7) + nested(7, graph) + nested(8, number(2, 11))


def forward(p, x, k, b):
    if p.is_empty() or same and not p.is_same():
        raise peer.Unsupported
    net = cv2.dnn.readNetFromONNX(numpy.frombuffer(model(p, k, b), dtype="uint8"))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.setInput(x)
    return net.forward()


major, minor = map(int, cv2.__version__.split(".")[:2])
peer.serve(f"arithmetic={'opaque' if (major, minor) >= (4, 7) else 'any-order'} fma=yes" + (" pads=same-upper" if same else ""), {"forward": forward})
