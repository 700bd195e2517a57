/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes and strings. The compiler itself calls memcpy(), memmove(), memset() and memcmp(), so they
 * must exist under these names. The build turns loop-pattern recognition off here, so that a loop
 * does not become a call to itself.
 */
#include "guest-stub/core/core.h"

/* From this length on, the processor's string instructions are faster; below it, their start-up
 * costs more than they save. */
#define LARGE 512u

/* Unaligned words that may alias any type. */
struct word16 {
	uint16_t value;
} __attribute__((packed, may_alias));
struct word32 {
	uint32_t value;
} __attribute__((packed, may_alias));
struct word64 {
	uint64_t value;
} __attribute__((packed, may_alias));

/* Copies up to sixteen bytes as two words that may overlap. Both are loaded before either is
 * stored. */
static void copy_small(uint8_t *to, const uint8_t *from, size_t length)
{
	if (length >= 8) {
		uint64_t first = ((const struct word64 *)from)->value;
		uint64_t last = ((const struct word64 *)(from + length - 8))->value;

		((struct word64 *)to)->value = first;
		((struct word64 *)(to + length - 8))->value = last;
	} else if (length >= 4) {
		uint32_t first = ((const struct word32 *)from)->value;
		uint32_t last = ((const struct word32 *)(from + length - 4))->value;

		((struct word32 *)to)->value = first;
		((struct word32 *)(to + length - 4))->value = last;
	} else if (length >= 2) {
		uint16_t first = ((const struct word16 *)from)->value;
		uint16_t last = ((const struct word16 *)(from + length - 2))->value;

		((struct word16 *)to)->value = first;
		((struct word16 *)(to + length - 2))->value = last;
	} else if (length == 1) {
		*to = *from;
	}
}

static void copy_forward(uint8_t *to, const uint8_t *from, size_t length)
{
	if (length >= LARGE) {
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length)::"memory");
		return;
	}
	for (; length > 16; to += 8, from += 8, length -= 8)
		((struct word64 *)to)->value = ((const struct word64 *)from)->value;
	copy_small(to, from, length);
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
	copy_forward(to, from, length);
	return to;
}

void *memmove(void *to, const void *from, size_t length)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	/* A forward copy is right unless TO lies inside the bytes still to be read. */
	if ((uintptr_t)t - (uintptr_t)f >= length) {
		copy_forward(t, f, length);
		return to;
	}
	for (; length > 16; length -= 8)
		((struct word64 *)(t + length - 8))->value =
			((const struct word64 *)(f + length - 8))->value;
	copy_small(t, f, length);
	return to;
}

void *memset(void *to, int byte, size_t length)
{
	uint64_t pattern = 0x0101010101010101u * (uint8_t)byte;
	uint8_t *t = to;

	if (length >= LARGE) {
		__asm__ volatile("rep stosb" : "+D"(t), "+c"(length) : "a"(byte) : "memory");
		return to;
	}
	for (; length >= 8; t += 8, length -= 8)
		((struct word64 *)t)->value = pattern;
	for (; length > 0; length--)
		*t++ = (uint8_t)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	const uint8_t *x = a, *y = b;

	for (; length >= 8; x += 8, y += 8, length -= 8)
		if (((const struct word64 *)x)->value != ((const struct word64 *)y)->value)
			break;
	for (; length > 0; x++, y++, length--)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *bytes, int byte, size_t length)
{
	const uint8_t *at = bytes;

	for (; length > 0; at++, length--)
		if (*at == (uint8_t)byte)
			return (void *)(uintptr_t)at;
	return NULL;
}

size_t strlen(const char *text)
{
	const char *at = text;

	while (*at)
		at++;
	return (size_t)(at - text);
}

size_t strnlen(const char *text, size_t max)
{
	size_t length = 0;

	while (length < max && text[length])
		length++;
	return length;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t max)
{
	for (; max > 0; a++, b++, max--) {
		if (*a != *b)
			return (uint8_t)*a - (uint8_t)*b;
		if (!*a)
			break;
	}
	return 0;
}

char *strchr(const char *text, int byte)
{
	for (;; text++) {
		if (*text == (char)byte)
			return (char *)(uintptr_t)text;
		if (!*text)
			return NULL;
	}
}

char *strrchr(const char *text, int byte)
{
	const char *last = NULL;

	for (;; text++) {
		if (*text == (char)byte)
			last = text;
		if (!*text)
			return (char *)(uintptr_t)last;
	}
}

char *strstr(const char *text, const char *part)
{
	size_t length = strlen(part);

	for (;; text++) {
		if (strncmp(text, part, length) == 0)
			return (char *)(uintptr_t)text;
		if (!*text)
			return NULL;
	}
}
