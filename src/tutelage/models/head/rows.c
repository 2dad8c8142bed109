/* The rows on a CPU: losses and gradient of a row of logits while it lies in the cache of one core.

   A thread takes a row, reads it three times (its maximum, its sums, its gradient) and takes the next one that nobody
   has. So rows go through memory once, threads meet only when a chunk is done, and a thread that waits for its core
   holds nobody up. torch's operations read a row twenty times, and wait for all threads after each. The numbers of a
   row depend neither on other rows nor on the number of threads.

   x and u are the logits of student and teacher divided by the temperature T.  */

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 1024 /* summed in float; their sums are added in double */
#define THREADS 1024
#define INLINE static inline __attribute__((always_inline))

struct rows { /* as in native.py */
    void *x, *u;                  /* float, or bfloat16 where `half`; u may be null */
    int64_t stride_x, stride_u, rows, vocab;
    const int64_t *labels;        /* below 0: not learnt */
    const int64_t *ids;           /* draws of a row, in place of u; may be null */
    const float *entropy;         /* of what they are drawn from */
    int64_t draws;
    float *ce, *kl;
    float temperature, of_ce, of_kl;
    int32_t half, gradient, threads;
    int32_t failed;
};

enum temperature { ONE, TWO, OTHER };

struct work {
    struct rows *rows;
    atomic_llong next;
};

/* exp(x) for x <= 0, as 2^k exp(r) with |r| <= log(2) / 2: k = x / log(2) to the nearest, log(2) in two parts, and for
   exp(r) the polynomial of degree 6 that begins with 1 + r and has the smallest relative error, 4e-9. NaN stays NaN. */
INLINE float exp_of(float x)
{
    x = x < -87.0f ? -87.0f : x;
    const float shifted = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: k is in the low bits */
    const float k = shifted - 12582912.0f;
    const float r = fmaf(k, 2.12194440e-4f, fmaf(k, -0.693359375f, x));
    float p = fmaf(1.381461276e-3f, r, 8.368710056e-3f);
    p = fmaf(p, r, 4.166838899e-2f);
    p = fmaf(p, r, 1.666652113e-1f);
    p = fmaf(p, r, 4.999999404e-1f);
    p = fmaf(p, r * r, r) + 1.0f;
    uint32_t power, bits;
    memcpy(&power, &shifted, sizeof power);
    memcpy(&bits, &p, sizeof bits);
    bits += power << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

INLINE float largest(const float *x, int64_t count)
{
    float m = -INFINITY;
#pragma omp simd reduction(max : m)
    for (int64_t j = 0; j < count; j++)
        m = x[j] > m ? x[j] : m;
    return m;
}

/* T = 2 needs one exponential for both temperatures: exp(2x) is the square of exp(x). */
INLINE float at_one(float e, float shifted, float T, enum temperature kind)
{
    return kind == ONE ? e : kind == TWO ? e * e : exp_of(T * shifted);
}

INLINE void row(const struct rows *r, float *x, const float *u, int64_t i, enum temperature kind, int dense)
{
    const int64_t vocab = r->vocab, y = r->labels[i], *ids = r->ids ? r->ids + i * r->draws : NULL;
    const float T = r->temperature, x_y = x[y], m = largest(x, vocab), n = dense ? largest(u, vocab) : 0;
    double sum_at_T = 0, sum_at_1 = 0, sum_of_u = 0, sum_of_d = 0, drawn = 0;
    for (int64_t begin = 0; begin < vocab; begin += COLUMNS) {
        const int64_t end = begin + COLUMNS < vocab ? begin + COLUMNS : vocab;
        float s_T = 0, s_1 = 0, s_u = 0, s_d = 0;
#pragma omp simd reduction(+ : s_T, s_1, s_u, s_d)
        for (int64_t j = begin; j < end; j++) {
            const float shifted = x[j] - m, e = exp_of(shifted);
            s_T += e;
            s_1 += at_one(e, shifted, T, kind);
            if (dense) {
                const float theirs = u[j] - n, v = exp_of(theirs);
                s_u += v;
                s_d += v * (theirs - shifted);
            }
        }
        sum_at_T += s_T, sum_at_1 += s_1, sum_of_u += s_u, sum_of_d += s_d;
    }
    r->ce[i] = (float)(T * (m - x_y) + log(sum_at_1));
    r->kl[i] = dense ? (float)(T * T * (sum_of_d / sum_of_u + log(sum_at_T) - log(sum_of_u))) : 0;
    if (ids) {
        for (int64_t s = 0; s < r->draws; s++)
            drawn += x[ids[s]] - m;
        r->kl[i] = (float)(T * T * (log(sum_at_T) - drawn / r->draws - r->entropy[i]));
    }
    if (!r->gradient)
        return;
    const float bT = r->of_kl * T, at_T = (float)(bT / sum_at_T), of_1 = (float)(r->of_ce / sum_at_1);
    const float of_u = dense ? (float)(bT / sum_of_u) : 0;
#pragma omp simd
    for (int64_t j = 0; j < vocab; j++) {
        const float shifted = x[j] - m, e = exp_of(shifted);
        const float dz = at_one(e, shifted, T, kind) * of_1 + e * at_T;
        x[j] = dense ? dz - exp_of(u[j] - n) * of_u : dz;
    }
    x[y] -= r->of_ce;
    if (ids)
        for (int64_t s = 0; s < r->draws; s++)
            x[ids[s]] -= bT / r->draws;
}

static void widen(float *to, const uint16_t *from, int64_t count)
{
    for (int64_t j = 0; j < count; j++) {
        const uint32_t bits = (uint32_t)from[j] << 16;
        memcpy(to + j, &bits, sizeof bits);
    }
}

static void narrow(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t j = 0; j < count; j++) {
        uint32_t bits;
        memcpy(&bits, from + j, sizeof bits);
        const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16; /* to even */
        to[j] = (uint16_t)(from[j] != from[j] ? 0x7fc0 : rounded);
    }
}

static void one(const struct rows *r, float *x, const float *u, int64_t i)
{
    const enum temperature kind = r->temperature == 1 ? ONE : r->temperature == 2 ? TWO : OTHER;
    if (u)
        kind == ONE ? row(r, x, u, i, ONE, 1) : kind == TWO ? row(r, x, u, i, TWO, 1) : row(r, x, u, i, OTHER, 1);
    else
        kind == ONE ? row(r, x, u, i, ONE, 0) : kind == TWO ? row(r, x, u, i, TWO, 0) : row(r, x, u, i, OTHER, 0);
}

static void *some(void *given)
{
    struct work *work = given;
    struct rows *r = work->rows;
    const size_t width = r->half ? sizeof(uint16_t) : sizeof(float);
    float *wide = r->half ? malloc(2 * sizeof(float) * (size_t)r->vocab) : NULL;
    if (r->half && !wide)
        r->failed = 1;
    for (int64_t i; !r->failed && (i = atomic_fetch_add(&work->next, 1)) < r->rows;) {
        void *x = (char *)r->x + width * (size_t)(i * r->stride_x);
        void *u = r->u ? (char *)r->u + width * (size_t)(i * r->stride_u) : NULL;
        if (r->labels[i] < 0) {
            r->ce[i] = r->kl[i] = 0;
            if (r->gradient)
                memset(x, 0, width * (size_t)r->vocab);
        } else if (!r->half) {
            one(r, x, u, i);
        } else {
            widen(wide, x, r->vocab);
            if (u)
                widen(wide + r->vocab, u, r->vocab);
            one(r, wide, u ? wide + r->vocab : NULL, i);
            if (r->gradient)
                narrow(x, wide, r->vocab);
        }
    }
    free(wide);
    return NULL;
}

/* All rows, by this thread and as many others as can be had. `failed` where there was no memory. */
void tutelage_rows(struct rows *r)
{
    struct work work = {.rows = r};
    pthread_t others[THREADS];
    int started = 0;
    atomic_init(&work.next, 0);
    while (started + 1 < r->threads && started < THREADS && started + 1 < r->rows &&
           !pthread_create(others + started, NULL, some, &work))
        started++;
    some(&work);
    while (started)
        pthread_join(others[--started], NULL);
}
