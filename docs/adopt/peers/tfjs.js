// TensorFlow.js as a subject.
//
//     verify exec:'node tfjs.js cpu'          plain JavaScript
//     verify exec:'node tfjs.js wasm'         XNNPACK compiled to WebAssembly
//     verify exec:'node tfjs.js cpu same'     pad 'same': the problems whose padding that is (wasm likewise)
//
// The packages are looked for in TFJS_MODULES (a folder with node_modules), then in build/ beside this file.
// Images are channels-last and weights rows x columns x in x out there: converted here in plain loops. Groups are 1, or as many as
// channels, which is depthwiseConv2d. Refused: other groups, no channels or an empty batch where an operation throws at it, and
// what the library says it does not do (strides together with dilations; gradients of dilated convolutions; kernels that a backend has
// not). Whatever else it throws is reported as an error.
'use strict';
const fs = require('fs'), path = require('path');
const [backend, mode] = process.argv.slice(2);
const same = mode === 'same';
const modules = process.env.TFJS_MODULES || path.join(__dirname, 'build');
const load = name => require(require.resolve(name, {paths: [modules]}));
console.log = console.info = console.warn = console.error; // standard output is the protocol's

class Unsupported extends Error {}

// ---- the protocol ----
let pending = Buffer.alloc(0), ended = false;
const wait = new Int32Array(new SharedArrayBuffer(4));
function more() {
  const chunk = Buffer.alloc(1 << 16);
  for (;;) {
    try {
      const n = fs.readSync(0, chunk, 0, chunk.length, null);
      ended = n === 0;
      pending = Buffer.concat([pending, chunk.subarray(0, n)]);
      return;
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e;
      Atomics.wait(wait, 0, 0, 1);
    }
  }
}
function readLine() {
  let end;
  while ((end = pending.indexOf(10)) < 0 && !ended) more();
  if (end < 0) return null;
  const line = pending.toString('latin1', 0, end);
  pending = pending.subarray(end + 1);
  return line;
}
function readFloats(count) {
  while (pending.length < 4 * count && !ended) more();
  const a = new Float32Array(count);
  for (let i = 0; i < count; i++) a[i] = pending.readFloatLE(4 * i);
  pending = pending.subarray(4 * count);
  return a;
}
function write(data) {
  for (let at = 0; at < data.length;) {
    try {
      at += fs.writeSync(1, data, at);
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e;
      Atomics.wait(wait, 0, 0, 1);
    }
  }
}

// ---- layouts: result dimension i is dimension order[i] of the operand ----
function permute(a, shape, order) {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((x, y) => x * y, 1));
  const [s0, s1, s2, s3] = order.map(i => strides[i]), [d0, d1, d2, d3] = order.map(i => shape[i]);
  const r = new Float32Array(a.length);
  let at = 0;
  for (let i = 0; i < d0; i++) for (let j = 0; j < d1; j++) for (let k = 0; k < d2; k++) for (let l = 0; l < d3; l++)
    r[at++] = a[i * s0 + j * s1 + k * s2 + l * s3];
  return r;
}

(async () => {
  const tf = load('@tensorflow/tfjs');
  if (backend === 'wasm') load('@tensorflow/tfjs-backend-wasm');
  if (!await tf.setBackend(backend)) throw new Error(`no backend ${backend}`);
  await tf.ready();

  const image = (a, [n, c, h, w]) => tf.tensor4d(permute(a, [n, c, h, w], [0, 2, 3, 1]), [n, h, w, c]);
  const planar = t => {
    const [n, h, w, c] = t.shape;
    return {shape: [n, c, h, w], data: permute(t.dataSync(), t.shape, [0, 3, 1, 2])};
  };
  // Depthwise: the library's weights are rows x columns x channels x multiplier, ours channels*multiplier x 1 x rows x columns.
  const isDepthwise = p => p.g > 1;
  const weights = (a, p) => isDepthwise(p)
    ? tf.tensor4d(permute(a, [p.g, p.o / p.g, p.kh, p.kw], [2, 3, 0, 1]), [p.kh, p.kw, p.g, p.o / p.g])
    : tf.tensor4d(permute(a, [p.o, p.c, p.kh, p.kw], [2, 3, 1, 0]), [p.kh, p.kw, p.c, p.o]);
  const planarWeights = (t, p) => isDepthwise(p)
    ? {shape: [p.o, 1, p.kh, p.kw], data: permute(t.dataSync(), t.shape, [2, 3, 0, 1])}
    : {shape: [p.o, p.c, p.kh, p.kw], data: permute(t.dataSync(), t.shape, [3, 2, 0, 1])};

  const axisIsSame = (size, k, s, d, before, after) => {
    const total = Math.max((Math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0), half = Math.floor(total / 2);
    return before === half && after === total - half;
  };
  function padding(p) {
    if (p.g > 1 && p.g !== p.c) throw new Unsupported();
    if (!same) return [[0, 0], [p.pt, p.pb], [p.pl, p.pr], [0, 0]];
    if (!axisIsSame(p.h, p.kh, p.sh, p.dh, p.pt, p.pb) || !axisIsSame(p.w, p.kw, p.sw, p.dw, p.pl, p.pr)) throw new Unsupported();
    return 'same';
  }
  function convolution(p, x, filter, bias) {
    const pad = padding(p), strides = [p.sh, p.sw], dilations = [p.dh, p.dw];
    if (bias) return (isDepthwise(p) ? tf.fused.depthwiseConv2d : tf.fused.conv2d)({x, filter, strides, pad, dilations, bias});
    return (isDepthwise(p) ? tf.depthwiseConv2d : tf.conv2d)(x, filter, strides, pad, 'NHWC', dilations);
  }
  const outputShape = p => [p.n, p.o, Math.floor((p.h + p.pt + p.pb - (p.kh - 1) * p.dh - 1) / p.sh) + 1,
    Math.floor((p.w + p.pl + p.pr - (p.kw - 1) * p.dw - 1) / p.sw) + 1]; // of the output gradients that arrive

  const ops = {
    'forward': (p, x, k, b) => {
      padding(p); // refuses groups before the weights are laid out
      return planar(convolution(p, image(x, [p.n, p.c, p.h, p.w]), weights(k, p), b && tf.tensor1d(b)));
    },
    'backward-input': (p, dy, k) => {
      padding(p);
      const w = weights(k, p);
      return planar(tf.grad(x => convolution(p, x, w))(tf.zeros([p.n, p.h, p.w, p.c]), image(dy, outputShape(p))));
    },
    'backward-weight': (p, x, dy) => {
      padding(p);
      const input = image(x, [p.n, p.c, p.h, p.w]);
      const zeros = weights(new Float32Array(p.o * (p.c / p.g) * p.kh * p.kw), p);
      return planarWeights(tf.grad(w => convolution(p, input, w))(zeros, image(dy, outputShape(p))), p);
    },
    'transposed': (p, y, k, b) => {
      if (p.g > 1 || p.dh > 1 || p.dw > 1) throw new Unsupported(); // conv2dTranspose has neither
      const x = tf.conv2dTranspose(image(y, outputShape(p)), weights(k, p), [p.n, p.h, p.w, p.c], [p.sh, p.sw], padding(p));
      return planar(b ? tf.add(x, tf.tensor1d(b)) : x);
    },
  };
  const documented = /[Ee]ither strides or dilations must be 1|[Dd]ilation rates greater than 1 are not (yet )?supported|not registered for backend/;

  write(Buffer.from(`conv=1 ops=${Object.keys(ops)} arithmetic=any-order fma=yes${same ? ' pads=same-upper' : ''}\n`));
  for (let line; (line = readLine()) !== null;) {
    const p = {};
    for (const word of line.trim().split(/\s+/)) {
      const [name, text] = word.split('=');
      p[name] = name === 'op' ? text : Number(text);
    }
    const x = readFloats(p.x), k = readFloats(p.k), b = readFloats(p.b);
    let reply;
    tf.engine().startScope();
    try {
      reply = ops[p.op](p, x, k, p.b > 0 ? b : null);
    } catch (e) {
      const empty = p.n === 0 || p.c === 0 || p.o === 0;
      if (!(e instanceof Unsupported)) console.error(String(e.stack || e));
      reply = e instanceof Unsupported || empty || documented.test(e.message) ? null : String(e.message || e);
    }
    tf.engine().endScope();
    if (reply === null) write(Buffer.from('unsupported\n'));
    else if (typeof reply === 'string') write(Buffer.from('error ' + reply.replace(/\s+/g, ' ').slice(0, 500) + '\n'));
    else {
      write(Buffer.from(`ok ${reply.shape.join(' ')}\n`));
      const bytes = Buffer.alloc(4 * reply.data.length);
      reply.data.forEach((v, i) => bytes.writeFloatLE(v, 4 * i));
      write(bytes);
    }
  }
})().catch(e => { console.error(e); process.exit(1); });
