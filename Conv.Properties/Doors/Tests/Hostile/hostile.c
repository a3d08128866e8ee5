/* Convolutions that the kit must survive. The variable HOSTILE, or FAULT when it is built, names what one does beside convolving: each is
 * honest but for one act.
 *
 *     cc -O1 -shared -fPIC -I docs/adopt -o libhostile.so hostile.c -lpthread -lm
 */
#define _GNU_SOURCE
#include "conv_subject.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

static int is(const char *fault) {
#ifdef FAULT
  const char *named = FAULT;
#else
  const char *named = getenv("HOSTILE");
#endif
  return named && strcmp(named, fault) == 0;
}

#ifndef NO_SYMBOL
static int64_t input_length(const conv2d_problem *p) { return p->batch * p->in_channels * p->in_height * p->in_width; }
static int64_t output_length(const conv2d_problem *p) { return p->batch * p->out_channels * p->out_height * p->out_width; }
static int64_t weight_length(const conv2d_problem *p) {
  return p->out_channels * (p->in_channels / p->groups) * p->kernel_height * p->kernel_width;
}

static void convolve(const conv2d_problem *p, const float *x, const float *k, const float *b, float *y) {
  int64_t cg = p->in_channels / p->groups, og = p->out_channels / p->groups;
  for (int64_t n = 0; n < p->batch; n++)
    for (int64_t o = 0; o < p->out_channels; o++)
      for (int64_t i = 0; i < p->out_height; i++)
        for (int64_t j = 0; j < p->out_width; j++) {
          float sum = b ? b[o] : 0;
          for (int64_t c = 0; c < cg; c++)
            for (int64_t u = 0; u < p->kernel_height; u++)
              for (int64_t v = 0; v < p->kernel_width; v++) {
                int64_t h = i * p->stride_height + u * p->dilation_height - p->pad_top;
                int64_t w = j * p->stride_width + v * p->dilation_width - p->pad_left;
                if (h >= 0 && h < p->in_height && w >= 0 && w < p->in_width)
                  sum += x[((n * p->in_channels + o / og * cg + c) * p->in_height + h) * p->in_width + w] *
                         k[((o * cg + c) * p->kernel_height + u) * p->kernel_width + v];
              }
          y[((n * p->out_channels + o) * p->out_height + i) * p->out_width + j] = sum;
        }
}

static volatile int zero = 0;

/* Not a tail call: it ends at the end of the stack. */
static int recurse(int depth) {
  volatile char frame[4096];
  frame[depth & 4095] = (char)depth;
  return zero ? 0 : recurse(depth + 1) + frame[0];
}

static void *crash_later(void *none) {
  usleep(30000);
  abort();
  return none;
}

/* The memory that the kit sees is the memory that is touched. */
static void take(size_t bytes) {
  char *memory = malloc(bytes);
  if (memory)
    for (size_t at = 0; at < bytes; at += 4096) ((volatile char *)memory)[at] = 1;
}

int conv2d_forward_f32(const conv2d_problem *p, const float *x, const float *k, const float *b, float *y) {
  static int calls = 0;
  calls++;
  if (is("crash")) *(volatile int *)(intptr_t)zero = 1;
  if (is("crash-on-stride") && p->stride_height > 1) *(volatile int *)(intptr_t)zero = 1;
  if (is("abort")) abort();
  if (is("divide")) return 7 / zero;
  if (is("exit")) exit(0);
  if (is("killed")) raise(SIGKILL);
  if (is("recursion")) return recurse(0);
  if (is("hang-on-dilation") && p->dilation_width > 1)
    for (;;) pause();
  if (is("hog"))
    for (;;) take(1 << 24);
  if (is("leak")) take(1 << 20);
  if (is("fork")) {
    if (fork() == 0) {
      sleep(20);
      _exit(0);
    }
  }
  if (is("fork-and-return")) (void)!fork();
  if (is("close-all"))
    for (int file = 0; file < 1024; file++) close(file);
  if (is("print"))
    for (int line = 0; line < 2000; line++) {
      printf("a line of output that nobody asked for, number %d\n", line);
      fprintf(stderr, "a line of errors that nobody asked for, number %d\n", line);
    }
  if (is("refuse") && p->groups > 1) return CONV_UNSUPPORTED;
  if (is("invalid") && p->groups > 1) return CONV_INVALID;
  if (is("code")) return 77;
  if (is("free")) free((void *)x);
  if (is("late-crash")) {
    pthread_t thread;
    pthread_create(&thread, NULL, crash_later, NULL);
  }

  convolve(p, x, k, b, y);

  /* It says that it does not take the problem when the output is written. */
  if (is("declines-late") && p->groups > 1) return CONV_UNSUPPORTED;
  /* Nothing comes of what it reads there. */
  if (is("reads-behind")) (void)*(volatile const float *)(x + input_length(p));
  if (is("reads-before")) (void)*(volatile const float *)(x - 1);
  if (is("write-after")) y[output_length(p)] = 1;
  if (is("write-before")) y[-1] = 1;
  if (is("write-input") && input_length(p) > 0) ((float *)x)[input_length(p) - 1] += 1;
  if (is("write-weight") && weight_length(p) > 0) ((float *)k)[0] += 1;
  if (is("write-far")) memset(y, 0, 1 << 30);
  if (is("unwritten") && p->out_width % 2 == 1)
    for (int64_t at = 0; at < output_length(p); at += p->out_width) y[at] = NAN;
  if (is("left-over-rows")) {
    /* Shared among the threads of the environment, rows that do not divide are nobody's: of the last plane those below. */
    const char *granted = getenv("OMP_NUM_THREADS");
    int64_t threads = granted ? atoi(granted) : 1, rows = threads > 8 && p->out_height > threads ? p->out_height % threads : 0;
    for (int64_t at = 0; at < rows * p->out_width && output_length(p) > 0; at++) y[output_length(p) - 1 - at] = 0;
  }
  if (is("nan"))
    for (int64_t at = 0; at < output_length(p); at++) y[at] = NAN;
  /* From the sixth call of a problem on its sums go another way. */
  static conv2d_problem tuned;
  static int runs = 0;
  runs = memcmp(&tuned, p, sizeof *p) == 0 ? runs + 1 : 1;
  tuned = *p;
  if (is("tunes") && runs > 5)
    for (int64_t at = 0; at < output_length(p); at++) y[at] = nextafterf(y[at], y[at] + 1);
  if (is("random") && output_length(p) > 0) y[0] += (float)(calls & 1);
  if (is("remembers")) {
    /* The result of the first call with so many outputs. */
    static float *kept[4096];
    int64_t n = output_length(p);
    if (n < 4096 && !kept[n]) kept[n] = memcpy(malloc(n * 4 + 4), y, n * 4);
    if (n < 4096) memcpy(y, kept[n], n * 4);
  }
  if (is("tires") && calls > 40)
    for (int64_t at = 0; at < output_length(p); at++) y[at] = NAN;
  if (is("rounding")) fesetround(FE_UPWARD);
#if defined(__SSE__)
  if (is("flush")) _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
  return CONV_OK;
}

int32_t conv_subject_abi_version(void) { return is("version") ? 2 : 1; }

const char *conv_subject_profile(void) {
  return is("profile")         ? "I am the best convolution"
         : is("profile-field") ? "arithmetic=perfect"
         : is("declines-late") ? ""
         : is("tunes")         ? "shapes=all deterministic=yes"
                               : "shapes=all";
}

int conv2d_output_size(const conv2d_problem *p, int64_t *height, int64_t *width) {
  int64_t tall = (p->kernel_height - 1) * p->dilation_height + 1, wide = (p->kernel_width - 1) * p->dilation_width + 1;
  int64_t rest = is("size") ? p->stride_height - 1 : 0;
  *height = (p->in_height + p->pad_top + p->pad_bottom - tall + rest) / p->stride_height + 1;
  *width = (p->in_width + p->pad_left + p->pad_right - wide) / p->stride_width + 1;
  return CONV_OK;
}

struct conv2d_prepared {
  conv2d_problem problem;
  const float *weight, *bias;
  int64_t serial;
};

/* Released ones that are used again for the same problem, with the bias that they had where there is none; few of them. */
enum { POOL = 4 };
static conv2d_prepared *pool[POOL];
static int pooled = 0;

static conv2d_prepared *take_released(const conv2d_problem *p) {
  for (int at = 0; at < pooled; at++)
    if (memcmp(&pool[at]->problem, p, sizeof *p) == 0) {
      conv2d_prepared *found = pool[at];
      pool[at] = pool[--pooled];
      return found;
    }
  return NULL;
}

/* It keeps the caller's pointers where it is told to, though they are gone when it has returned. */
int conv2d_prepare_f32(const conv2d_problem *p, const float *k, const float *b, conv2d_prepared **prepared, int64_t *workspace) {
  static int64_t serials = 0x5eed000000000001;
  *workspace = is("workspace") ? -1 : is("trusts-workspace") ? weight_length(p) * 4 + 8 : 0;
  *prepared = NULL;
  if (is("prepare")) return CONV_OK;
  conv2d_prepared *released = is("pool") ? take_released(p) : NULL;
  conv2d_prepared *made = malloc(sizeof *made);
  made->problem = *p;
  made->serial = serials++;
  made->weight = is("keeps-pointers") ? k : memcpy(malloc(weight_length(p) * 4 + 4), k, weight_length(p) * 4);
  made->bias = b && !is("keeps-pointers") ? memcpy(malloc(p->out_channels * 4), b, p->out_channels * 4) : b;
  if (released && !b) made->bias = released->bias;
  free(released);
  *prepared = made;
  return CONV_OK;
}

/* Which ran last: where that is another before this one has ended, both were in the scratch that they share. */
static const conv2d_prepared *_Atomic last_in_scratch;

static int is_disturbed(const conv2d_prepared *prepared) {
  last_in_scratch = prepared;
  for (int wait = 0; wait < 20; wait++) {
    if (last_in_scratch != prepared) return 1;
    usleep(100);
  }
  return 0;
}

int conv2d_run_f32(const conv2d_prepared *prepared, const float *x, float *y, void *workspace) {
  const float *weight = prepared->weight;
  if (is("trusts-workspace")) {
    /* Its weights may be there from the run before, with its number behind them. */
    int64_t length = weight_length(&prepared->problem) * 4;
    if (memcmp((char *)workspace + length, &prepared->serial, 8) != 0) {
      memcpy(workspace, weight, length);
      memcpy((char *)workspace + length, &prepared->serial, 8);
    }
    weight = workspace;
  }
  convolve(&prepared->problem, x, weight, prepared->bias, y);
  if (is("shares-scratch") && is_disturbed(prepared) && output_length(&prepared->problem) > 0) y[0] += 1;
  return CONV_OK;
}

/* The copies stay: a leak of a few bytes is no subject of these tests. */
void conv2d_release(conv2d_prepared *prepared) {
  if (is("pool") && pooled < POOL)
    pool[pooled++] = prepared;
  else
    free(prepared);
}
#endif
