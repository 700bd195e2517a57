/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target as an ordinary test: each file of the corpus directory as it is, then ROUNDS
 * mutations of each. The mutations come from a fixed seed, so a failure repeats.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536u
#define ROUNDS	  4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Numbers at the edges of fields and of the checks on them. */
static uint64_t edge_value(void)
{
	static const uint64_t edges[] = {0,
					 1,
					 7,
					 0xfff,
					 0x1000,
					 0x3fffff,
					 0x400000,
					 0xffff,
					 0xffffffff,
					 0x80000000,
					 0x1000000000,
					 INT64_MAX,
					 UINT64_MAX,
					 UINT64_MAX - 0xfff};

	return edges[next_random() % (sizeof(edges) / sizeof(edges[0]))] + next_random() % 3 - 1;
}

static size_t mutate(uint8_t *data, size_t size)
{
	size_t at = size ? next_random() % size : 0;
	uint64_t value = edge_value();
	size_t width = (size_t)1 << next_random() % 4;

	switch (next_random() % 8) {
	case 0: /* cut */
		return at;
	case 1: /* grow by what was there before */
		return size + next_random() % (INPUT_MAX - size);
	case 2:
	case 3: /* one bit */
		if (size)
			data[at] ^= (uint8_t)(1u << next_random() % 8);
		return size;
	case 4: /* one byte */
		if (size)
			data[at] = (uint8_t)next_random();
		return size;
	default: /* a whole field */
		at &= ~(width - 1);
		if (at + width <= size)
			memcpy(data + at, &value, width);
		return size;
	}
}

static void replay(const char *path)
{
	static uint8_t original[INPUT_MAX], data[INPUT_MAX];
	FILE *file = fopen(path, "rbe");
	size_t length;

	if (!file) {
		perror(path);
		exit(1);
	}
	length = fread(original, 1, sizeof(original), file);
	fclose(file);
	LLVMFuzzerTestOneInput(original, length);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t size = length;

		random_state = UINT64_C(0x9e3779b97f4a7c15) * (round + 1);
		memcpy(data, original, sizeof(data));
		for (unsigned i = 0; i <= round % 4; i++)
			size = mutate(data, size);
		LLVMFuzzerTestOneInput(data, size);
	}
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
	unsigned replayed = 0;

	for (int i = 0; i < count; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		if (entries[i]->d_name[0] != '.') {
			replay(path);
			replayed++;
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	if (!replayed) {
		fprintf(stderr, "usage: %s CORPUS-DIRECTORY (with at least one file)\n", argv[0]);
		return 2;
	}
	return 0;
}
