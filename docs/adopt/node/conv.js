// A 2-D convolution over standard input and output: protocol 1 of docs/adopt/README.md. Nothing to build. Run: verify exec:'node conv.js'
const fs = require('fs'), out = (i, k, s, pads, d) => Math.floor((i + pads - (k - 1) * d - 1) / s) + 1; // rows or columns of the output
function all(call, fd, bytes) { // reads or writes all of these bytes, however few go at once; the program ends with its input
  for (let at = 0; at < bytes.length;) try { at += call(fd, bytes, at, bytes.length - at, null) || process.exit(); }
    catch (e) { if (e.code === 'EOF') process.exit(); if (e.code !== 'EAGAIN') throw e; } // EAGAIN: not yet; once more
  return bytes;
}
const floats = count => new Float32Array(all(fs.readSync, 0, Buffer.from(new ArrayBuffer(4 * count))).buffer);
all(fs.writeSync, 1, Buffer.from('conv=1 deterministic=yes shapes=all\n'));
for (let line = '', byte = Buffer.alloc(1); ; line = '') {
  while (!line.endsWith('\n')) line += all(fs.readSync, 0, byte);
  const [n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g, ...counts] = line.trim().split(' ').slice(2).map(f => +f.split('=')[1]);
  const [x, k, b] = counts.map(floats), cg = c / g, og = o / g, ho = out(h, kh, sh, pt + pb, dh), wo = out(w, kw, sw, pl + pr, dw), y = [];
  for (let m = 0; m < n; m++) for (let p = 0; p < o; p++) for (let i = 0; i < ho; i++) for (let j = 0; j < wo; j++) {
    const at = y.push(b.length ? b[p] : 0) - 1, channel = m * c + (p - p % og) / og * cg, top = i * sh - pt, left = j * sw - pl;
    for (let q = 0; q < cg; q++) for (let r = 0, u = top; r < kh; r++, u += dh) for (let t = 0, v = left; t < kw; t++, v += dw)
      if (u >= 0 && u < h && v >= 0 && v < w) y[at] += x[((channel + q) * h + u) * w + v] * k[((p * cg + q) * kh + r) * kw + t];
  } // sums are doubles; what is too large for a float32 becomes infinite in the next line
  all(fs.writeSync, 1, Buffer.concat([Buffer.from(`ok ${n} ${o} ${ho} ${wo}\n`), Buffer.from(Float32Array.from(y).buffer)]));
}
