/* Lossless coder of 8- and 16-bit samples: median edge detection, then adaptive Rice codes.
 *
 *   med_rice encode SAMPLES.raw FACTS.json CODE
 *   med_rice decode CODE SAMPLES.raw
 *
 * Predictor: Weinberger, Seroussi, Sapiro, "The LOCO-I lossless image compression algorithm", IEEE
 * TIP 2000 (median of left, above, left + above - corner). The Rice parameter follows the running
 * mean of the residuals, for each channel. CODE begins with height, width, channels (u32,
 * little-endian) and the bit depth (one byte). A sound is an image of one row.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE 32 /* ones after which the residual follows in full */
#define MOST_CHANNELS 64

static void stop(const char *what) { fprintf(stderr, "med_rice: %s\n", what); exit(1); }

static FILE *stream;
static unsigned window, filled;

static void put(unsigned bit) {
    window = window << 1 | bit;
    if (++filled == 8) { fputc((int)window, stream); window = filled = 0; }
}

static unsigned get(void) {
    if (!filled) {
        int byte = fgetc(stream);
        if (byte == EOF) stop("the code ends too early");
        window = (unsigned)byte;
        filled = 8;
    }
    return window >> --filled & 1;
}

static void put_bits(uint32_t value, int n) { while (n--) put(value >> n & 1); }

static uint32_t get_bits(int n) {
    uint32_t value = 0;
    while (n--) value = value << 1 | get();
    return value;
}

static void put_rice(uint32_t value, int k, int bits) {
    uint32_t ones = value >> k;
    if (ones >= ESCAPE) {
        for (int i = 0; i < ESCAPE; i++) put(1);
        put_bits(value, bits);
        return;
    }
    for (uint32_t i = 0; i < ones; i++) put(1);
    put(0);
    put_bits(value, k);
}

static uint32_t get_rice(int k, int bits) {
    uint32_t ones = 0;
    while (ones < ESCAPE && get()) ones++;
    if (ones == ESCAPE) return get_bits(bits);
    return ones << k | get_bits(k);
}

/* Codes or decodes every sample in place. Residuals are taken modulo 2^bits and folded to
 * unsigned numbers of as many bits. */
static void code(uint16_t *s, uint32_t h, uint32_t w, uint32_t c, int bits, int decoding) {
    int64_t size = (int64_t)1 << bits, half = size / 2;
    uint64_t sum[MOST_CHANNELS], count[MOST_CHANNELS];
    for (uint32_t z = 0; z < c; z++) { sum[z] = (uint64_t)size / 8 + 1; count[z] = 1; }
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            for (uint32_t z = 0; z < c; z++) {
                uint16_t *p = s + ((size_t)y * w + x) * c + z;
                int64_t a = x ? p[-(int64_t)c] : 0, b = y ? p[-(int64_t)w * c] : 0;
                int64_t d = x && y ? p[-(int64_t)w * c - (int64_t)c] : 0, guess;
                if (!x) guess = b;
                else if (!y) guess = a;
                else if (d >= (a > b ? a : b)) guess = a < b ? a : b;
                else if (d <= (a < b ? a : b)) guess = a > b ? a : b;
                else guess = a + b - d;
                int k = 0;
                while (k < bits && (count[z] << k) < sum[z]) k++;
                uint32_t folded;
                if (decoding) {
                    folded = get_rice(k, bits);
                    int64_t r = folded & 1 ? -(int64_t)(folded >> 1) - 1 : (int64_t)(folded >> 1);
                    *p = (uint16_t)((guess + r + 2 * size) % size);
                } else {
                    int64_t r = (*p - guess + 2 * size + half) % size - half;
                    folded = (uint32_t)(r < 0 ? -2 * r - 1 : 2 * r);
                    put_rice(folded, k, bits);
                }
                sum[z] += folded;
                if (++count[z] == 64) { sum[z] = (sum[z] + 1) / 2; count[z] = 32; }
            }
}

static long fact(const char *text, const char *key) {
    const char *found = strstr(text, key);
    if (!found || !(found = strchr(found, ':'))) stop("the facts are incomplete");
    return strtol(found + 1, NULL, 10);
}

static FILE *opened(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) { perror(path); exit(1); }
    return file;
}

static void samples(FILE *file, uint16_t *s, size_t n, int width, int writing) {
    for (size_t i = 0; i < n; i++) {
        unsigned char bytes[2] = {(unsigned char)s[i], (unsigned char)(s[i] >> 8)};
        size_t done = writing ? fwrite(bytes, 1, (size_t)width, file)
                              : fread(bytes, 1, (size_t)width, file);
        if (done != (size_t)width) stop("samples are missing, or cannot be written");
        if (!writing) s[i] = (uint16_t)(bytes[0] | (width == 2 ? bytes[1] << 8 : 0));
    }
}

int main(int n, char **argument) {
    int decoding = n == 4 && !strcmp(argument[1], "decode");
    if (!decoding && !(n == 5 && !strcmp(argument[1], "encode")))
        stop("encode SAMPLES FACTS CODE, or decode CODE SAMPLES");
    uint32_t shape[3] = {1, 1, 1};
    int bits;
    if (decoding) {
        stream = opened(argument[2], "rb");
        for (int i = 0; i < 3; i++)
            for (int byte = 0; byte < 4; byte++)
                shape[i] = (byte ? shape[i] : 0) | (uint32_t)fgetc(stream) << 8 * byte;
        bits = fgetc(stream);
    } else {
        char text[4096] = "", *end;
        FILE *told = opened(argument[3], "rb");
        text[fread(text, 1, sizeof text - 1, told)] = 0;
        fclose(told);
        bits = (int)fact(text, "\"bits\"");
        char *numbers = strstr(text, "\"shape\"");
        if (!numbers || !(numbers = strchr(numbers, '['))) stop("the facts have no shape");
        long given[3];
        int dimensions = 0;
        for (numbers++; dimensions < 3; dimensions++, numbers = end + strspn(end, ", \r\n\t")) {
            given[dimensions] = strtol(numbers, &end, 10);
            if (end == numbers) break;
        }
        for (int i = 0; i < dimensions; i++) shape[3 - dimensions + i] = (uint32_t)given[i];
    }
    if (bits < 1 || bits > 16 || !shape[0] || !shape[1] || !shape[2] || shape[2] > MOST_CHANNELS)
        stop("holds 1 to 16 bits and up to 64 channels");
    size_t total = (size_t)shape[0] * shape[1] * shape[2];
    uint16_t *s = calloc(total, sizeof *s);
    if (!s) stop("no memory");
    int width = bits > 8 ? 2 : 1;
    if (decoding) {
        code(s, shape[0], shape[1], shape[2], bits, 1);
        FILE *file = opened(argument[3], "wb");
        samples(file, s, total, width, 1);
        if (fclose(file)) stop("cannot be written");
    } else {
        FILE *file = opened(argument[2], "rb");
        samples(file, s, total, width, 0);
        fclose(file);
        stream = opened(argument[4], "wb");
        for (int i = 0; i < 3; i++)
            for (int byte = 0; byte < 4; byte++) fputc((int)(shape[i] >> 8 * byte & 255), stream);
        fputc(bits, stream);
        code(s, shape[0], shape[1], shape[2], bits, 0);
        while (filled) put(0);
        if (ferror(stream) || fclose(stream)) stop("cannot be written");
    }
    free(s);
    return 0;
}
