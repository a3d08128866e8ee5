/* A 2-D convolution over standard input and output, protocol 1. Build: cc -O2 conv_exec.c -o conv_exec. Run: verify exec:./conv_exec */
#include <stdio.h>
#include <stdlib.h>
static float *take(int count) { /* reads exactly so many numbers */
    float *array = malloc(count * sizeof(float) + 1);
    if (!array || fread(array, sizeof(float), count, stdin) != (size_t)count) exit(1);
    return array;
}
int main(void) {
    char line[1024];
    int n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g, x, k, b;
    for (puts("conv=1 deterministic=yes shapes=all"), fflush(stdout); fgets(line, sizeof line, stdin); fflush(stdout)) {
        if (sscanf(line, "conv=1 op=forward n=%d c=%d h=%d w=%d o=%d kh=%d kw=%d sh=%d sw=%d pt=%d pl=%d pb=%d pr=%d dh=%d dw=%d g=%d "
                "x=%d k=%d b=%d", &n, &c, &h, &w, &o, &kh, &kw, &sh, &sw, &pt, &pl, &pb, &pr, &dh, &dw, &g, &x, &k, &b) != 19) return 1;
        float *input = take(x), *weight = take(k), *bias = take(b);
        int ho = (h + pt + pb - (kh - 1) * dh - 1) / sh + 1, wo = (w + pl + pr - (kw - 1) * dw - 1) / sw + 1, cg = c / g, og = o / g;
        printf("ok %d %d %d %d\n", n, o, ho, wo);
        for (int m = 0; m < n; m++) for (int p = 0; p < o; p++) for (int i = 0; i < ho; i++) for (int j = 0; j < wo; j++) {
            double sum = b ? bias[p] : 0;
            for (int q = 0; q < cg; q++) for (int u = 0; u < kh; u++) for (int v = 0; v < kw; v++) {
                int channel = p / og * cg + q, row = i * sh + u * dh - pt, column = j * sw + v * dw - pl;
                if (row >= 0 && row < h && column >= 0 && column < w)
                    sum += (double)input[((m * c + channel) * h + row) * w + column] * weight[((p * cg + q) * kh + u) * kw + v];
            }
            float number = (float)sum;
            fwrite(&number, sizeof number, 1, stdout);
        }
        free(input), free(weight), free(bias);
    }
}
